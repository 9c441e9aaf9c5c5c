#!/bin/sh
# Verifies a journal without the program that wrote it: POSIX sh and awk, jq, sha256sum. The rules are those of
# qubes-dom0-pci-journal(5). Usage: verify.sh FOLDER [SEQ:HEX]...   Exit: 0 sound, 7 altered, 9 torn tail, 11 no journal.
set -u
export LC_ALL=C
folder=${1:?usage: verify.sh FOLDER [SEQ:HEX]...}
shift
work=$(mktemp -d) || exit 11
trap 'rm -rf "$work"' EXIT
case $work in /*) ;; *) work=$PWD/$work ;; esac
# From here on no name has anything of the folder's: one that is a command, an option or two lines stays a name.
case $folder in /*) ;; *) folder=./$folder ;; esac
cd "$folder" 2>/dev/null || { echo "no journal there"; exit 11; }
for segment in *.jsonl; do
    case ${segment%.jsonl} in *[!0-9]*) ;; ????????????) echo "$segment" ;; [1-9]????????????*) echo "$segment" ;; esac
done | sort -n >"$work/segments"

# Who says what a record's hash was: the arguments, the file checkpoints, HEAD.
for kept in "$@"; do printf '%s\n' "$kept" | tr ': ' '  ' | awk '{ h = ""; for (i = 2; i <= NF; i++) h = h $i; print "given", $1, tolower(h) }'; done >"$work/known"
[ -f checkpoints ] && awk '$2 ~ /^[0-9]+$/ && $3 ~ /^[0-9a-f]+$/ && length($3) == 64 { print "remembered", $2, $3 }' checkpoints >>"$work/known"
[ -f HEAD ] && tr -d '\000' <HEAD | awk 'NR == 1 && NF == 4 && $1 ~ /^(0|[1-9][0-9]*)$/ && length($2) == 64 && $2 ~ /^[0-9a-f]+$/ && $4 ~ /\.jsonl$/ { print "HEAD", $1, $2 }' >>"$work/known"
if [ ! -s "$work/segments" ]; then
    [ -s "$work/known" ] && { echo "ALTERED: no segments, but something says that there were"; exit 7; }
    echo "no journal there"
    exit 11
fi

# 1. Cut each segment into lines; put what each line's hash must cover (the object without its last member) in a file.
#    A line that has not the shape of a record gets none. awk cannot hold NUL bytes: they become \001, which is as wrong.
mkdir "$work/bodies"
number=0
while read -r segment; do
    number=$((number + 1))
    tr '\000' '\001' <"$segment" | awk -v dir="$work/bodies" -v part="$number" -v name="$segment" -v size="$(wc -c <"$segment")" '
        BEGIN { at = 0; hex = "[0-9a-f]"; h8 = hex hex hex hex hex hex hex hex; h64 = h8 h8 h8 h8 h8 h8 h8 h8 }
        {
            n = length($0); feed = at + n < size; body = ""; prev = "-"; seq = -1; hash = "-"; time = "-"
            if (n < 4096 && $0 !~ /[^ -~]/ && $0 ~ ("^\\{\"v\":1,\"prev\":\"" h64 "\",\"seq\":(0|[1-9][0-9]*),.*,\"hash\":\"" h64 "\"\\}$")) {
                body = substr($0, 1, n - 75) "}"; prev = substr($0, 16, 64); hash = substr($0, n - 65, 64)
                seq = substr($0, 88, 17) + 0
                rest = substr($0, 88); sub(/^[0-9]+/, "", rest)
                if (rest ~ /^,"time":"/) time = substr(rest, 10, 27)
                file = sprintf("%s/%06d-%09d", dir, part, NR)
                printf "%s", body > file; close(file)
            }
            print part, NR, name, at, n + feed, seq, prev, hash, time
            at += n + feed
        }' >>"$work/lines"
done <"$work/segments"
find "$work/bodies" -type f -exec sha256sum {} + | sed 's|^\([0-9a-f]*\) .*/\([0-9]*\)-\([0-9]*\)$|\2 \3 \1|' | sort >"$work/hashes"

# 2. What the torn, pruned and segment records say, read by jq.
while read -r segment; do
    grep -a -h -E '"kind":"(torn|pruned|segment)"' "$segment" | jq -cRr 'fromjson? | select(type == "object")
        | [.kind, .seq, (.len // .last // .bytes // -1), (.sha256 // .last_hash // "-"), (.after // "-")] | map(tostring | gsub("[ \n]"; "_")) | join(" ")'
done <"$work/segments" >"$work/said"

# 3. Follow the chain.
awk '
    function wrong(what) { if (bad++ < 50) print "  " what }
    function sum(name, from, len,   command, got) {
        command = "tail -c +" (from + 1) " ./" name " | head -c " len " | sha256sum"
        command | getline got; close(command); return substr(got, 1, 64)
    }
    function take(i) { prev = hash[i]; next_seq = seq[i] + 1; at_hash[seq[i]] = hash[i]; count++ }
    FILENAME ~ /hashes$/ { real[$1 + 0, $2 + 0] = $3; next }
    FILENAME ~ /said$/ { said[$1, $2] = $3 " " $4; if ($1 == "pruned") { pruned[$3] = $4 }; if ($1 == "segment") { after[$2] = $5; bytes[$2] = $3 }; next }
    FILENAME ~ /known$/ { known[++kept] = $0; if ($2 + 0 > most) most = $2 + 0; any = 1; next }
    { i = ++lines; part[i] = $1 + 0; name[i] = $3; at[i] = $4; len[i] = $5; seq[i] = $6 + 0; prv[i] = $7; hash[i] = $8; time[i] = $9
      whole[i] = ($6 >= 0 && real[$1 + 0, $2 + 0] == $8); size[$3] = $4 + $5; last_part = part[i] }
    END {
        first = name[1]; sub(/\.jsonl$/, "", first); first += 0
        next_seq = first; for (k = 0; k < 64; k++) prev = prev "0"
        if (first > 0) for (i = 1; i <= lines && part[i] == part[1]; i++) if (whole[i]) { next_seq = seq[i]; prev = prv[i]; break }
        start_prev = prev; before = ""
        for (i = 1; i <= lines; i++) {
            if (i == 1 || part[i] != part[i - 1]) {
                for (k = i; k <= lines && part[k] == part[i] && k < i + 9; k++) if (whole[k] && (seq[k] in after)) {
                    if (before != "" && (after[seq[k]] != before || bytes[seq[k]] != size[before])) wrong("record " seq[k] " does not describe the segment before it")
                    break
                }
                before = name[i]
            }
            if (whole[i] && seq[i] == next_seq && prv[i] == prev) { take(i); continue }
            # A region that is no record: forgiven where the next record accounts for it, byte for byte.
            committed = 0; was = 0; healed = 0; resume = 0
            for (j = i; j <= lines && part[j] == part[i]; j++) {
                if (j > i && whole[j] && seq[j] == next_seq && prv[j] == prev && ("torn", seq[j]) in said) {
                    region = at[j] - at[i]
                    if (said["torn", seq[j]] == region " " sum(name[i], at[i], region)) { healed = 1; break }
                }
                if (whole[j]) {
                    if (!resume) resume = j
                    # Two that follow each other and differ in time were two appends: no crash loses the first of them.
                    if (was && prv[j] == hash[was] && time[j] != time[was]) { committed = 1; break }
                    was = j
                }
            }
            if (healed) { print "  healed: " region " bytes at " name[i] " byte " at[i] ", by record " seq[j]; take(j); i = j; continue }
            if (part[i] == last_part && !committed && !(any && most >= next_seq)) { torn = 1; break }
            wrong("at " name[i] " byte " at[i] ": no record " next_seq " that follows the one before")
            if (bad >= 50) break
            if (resume) { prev = prv[resume]; next_seq = seq[resume]; i = resume - 1 }
            else while (i < lines && part[i + 1] == part[i]) i++
        }
        if (first > 0) {
            ok = 0
            for (p in pruned) if ((p + 1 == first && pruned[p] == start_prev) || (p + 0 >= first && at_hash[p + 0] == pruned[p])) ok = 1
            if (!ok) wrong("records 0 to " first - 1 " are missing, and no record says that they were pruned")
        }
        for (k = 1; k <= kept; k++) {
            split(known[k], w, " "); got = at_hash[w[2] + 0]
            if (got == "" && w[2] + 0 < first) continue
            if (got == "" || index(got, w[3]) != 1) wrong(w[1] " " w[2] " is not met")
            if (w[1] == "given") given++
        }
        print (bad ? "ALTERED" : torn ? "torn tail" : "verified") ": " count + 0 " records, head " next_seq - 1 " " prev
        if (!given) print "  compared with no checkpoint from elsewhere: rewriting, or a cut at the end of a record, cannot be seen"
        exit bad ? 7 : torn ? 9 : 0
    }' "$work/hashes" "$work/said" "$work/known" "$work/lines"
