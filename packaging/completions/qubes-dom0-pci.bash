# shellcheck shell=bash
# Tab for qubes-dom0-pci in bash. The program itself says what can stand at the cursor; what was typed is only split at
# spaces, nothing of it or of the answer is evaluated.
_qubes_dom0_pci() {
    local IFS=$' \t\n' typed=${COMP_LINE:0:COMP_POINT} words word kept=''
    read -ra words <<<"$typed"
    # behind a space begins a new word
    [[ $typed != *[[:space:]] ]] || words+=('')
    COMPREPLY=()
    # bash breaks words at these, and puts in only what is behind the last of them
    word=${words[${#words[@]} - 1]}
    case $word in *[:=]*) kept=${word%"${word##*[:=]}"} ;; esac
    while IFS=$'\t' read -r word _; do
        COMPREPLY+=("${word#"$kept"}")
    done < <(qubes-dom0-pci complete -- "${words[@]:1}" 2>/dev/null)
}
# Where the program knows nothing, such as folders, bash's own completion goes on.
complete -o bashdefault -o default -F _qubes_dom0_pci qubes-dom0-pci
