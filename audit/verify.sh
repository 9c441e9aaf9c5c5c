#!/bin/sh
# Verifies a journal without the program that wrote it: POSIX sh and awk, sha256sum. The rules are those of
# qubes-dom0-pci-journal(5). Usage: verify.sh FOLDER [SEQ:HEX]...   Exit: 0 sound, 7 altered, 9 torn tail, 11 no journal,
# 2 an argument is no checkpoint.
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
while read -r segment; do
    { [ -f "$segment" ] && [ ! -L "$segment" ]; } || { echo "$segment is no regular file"; exit 11; }
done <"$work/segments"

# Who says what a record's hash was: the arguments, the file checkpoints (of a long one the end), HEAD.
for kept in "$@"; do
    printf '%s\n' "$kept" | awk '
        { line = tolower($0); sub(/^ +/, "", line); seq = line; sub(/[: ].*/, "", seq); hex = substr(line, length(seq) + 2); gsub(/ /, "", hex)
          ok = NR == 1 && seq ~ /^[0-9]+$/ && length(seq) <= 16 && hex ~ /^[0-9a-f]+$/ && length(hex) >= 24 && length(hex) <= 64 }
        END { if (!ok) exit 2; print "given", seq, hex }' || { echo "no checkpoint: give it as SEQ:HEX, with 24 to 64 digits" >&2; exit 2; }
done >"$work/given"
if [ -f checkpoints ]; then
    if [ "$(wc -c <checkpoints)" -gt 4194304 ]; then tail -c 4194304 checkpoints | sed 1d; else cat checkpoints; fi | tr '\000' '\001' |
        awk -F '[ ]' '$2 ~ /^[0-9]+$/ && length($2) <= 16 && tolower($3) ~ /^[0-9a-f]+$/ && length($3) == 64 { print "remembered", $2, tolower($3) }'
fi >"$work/left"
# A HEAD that is not written as it has to be, or whose line does not end, says nothing.
if [ -f HEAD ] && [ "$(head -c 128 HEAD | wc -l)" -gt 0 ]; then
    head -c 128 HEAD | tr '\000' '\001' | awk 'NR == 1 && /^(0|[1-9][0-9]*) [0-9a-f]+ (0|[1-9][0-9]*) [0-9]+\.jsonl$/ && length($1) <= 16 && length($2) == 64 && length($3) <= 20 \
        && $1 < 9007199254740992 && (length($4) == 18 || length($4) > 18 && $4 !~ /^0/) { print "HEAD", $1, $2, $3, $4 }'
fi >>"$work/left"
cat "$work/given" "$work/left" >"$work/known"
if [ ! -s "$work/segments" ]; then
    { [ -s "$work/left" ] || [ -s checkpoints ]; } && { echo "ALTERED: no segments, but something says that there were"; exit 7; }
    echo "no journal there"
    exit 11
fi

# 1. Cut each segment into lines; put what each line's hash must cover (the object without its last member) in a file.
#    A line that has not the form of a record gets none: that is a flat object of strings (in which only " and \ are
#    escaped), integers of at most 16 digits, true, false and lists of strings. What a torn, segment or pruned record says
#    counts where it stands: behind time, boot, perhaps an operation, and the kind.
#    awk cannot hold NUL bytes: they become \001, which is as wrong.
mkdir "$work/bodies"
: >"$work/lines"
: >"$work/said"
number=0
while read -r segment; do
    number=$((number + 1))
    size=$(wc -c <"$segment")
    echo "$number $segment $size" >>"$work/parts"
    tr '\000' '\001' <"$segment" | awk -v dir="$work/bodies" -v said="$work/said" -v part="$number" -v name="$segment" -v size="$size" '
        function say(kind, number, text) { print part, NR, kind, number, text ~ /^[!-~]+$/ ? text : "-" >> said }
        BEGIN {
            at = 0; hex = "[0-9a-f]"; h8 = hex hex hex hex hex hex hex hex; h64 = h8 h8 h8 h8 h8 h8 h8 h8
            text = "\"([] !#-[^-~]|\\\\[\"\\\\])*\""; plain = "\"[] !#-[^-~]*\""
            digit = "[0-9]?"; digits = digit digit digit digit digit; count = "(0|[1-9]" digits digits digits ")"
            form = "^\\{\"v\":1,\"prev\":\"" h64 "\",\"seq\":" count "(," text ":(" text "|-?" count "|true|false|\\[(" text "(," text ")*)?\\]))+$"
            opening = "^,\"time\":" text ",\"boot\":" text "(,\"op\":" text ")?,\"kind\":"
        }
        {
            n = length($0); feed = at + n < size; body = ""; prev = "-"; seq = -1; hash = "-"; time = "-"
            if (n < 4096 && $0 ~ (",\"hash\":\"" h64 "\"\\}$") && substr($0, 1, n - 75) ~ form && substr($0, 88, 17) + 0 < 9007199254740992) {
                body = substr($0, 1, n - 75) "}"; prev = substr($0, 16, 64); hash = substr($0, n - 65, 64)
                seq = substr($0, 88, 17) + 0
                rest = substr(body, 88); sub(/^[0-9]+/, "", rest)
                if (rest ~ /^,"time":"/) time = substr(rest, 10, 27)
                file = sprintf("%s/%06d-%09d", dir, part, NR)
                printf "%s", body > file; close(file)
                if (!sub(opening, "", rest)) rest = ""
                split(rest, w, "[,:\"]+")
                if (rest ~ ("^\"torn\",\"len\":" count ",\"sha256\":\"" h64 "\"")) say("torn", w[4], w[6])
                else if (rest ~ ("^\"segment\",\"after\":" plain ",\"bytes\":" count)) {
                    sub(/^"segment","after":"/, "", rest); after = rest; sub(/".*/, "", after)
                    sub(/^[^"]*","bytes":/, "", rest); sub(/[^0-9].*/, "", rest)
                    say("segment", rest, after)
                }
                else if (rest ~ ("^\"pruned\",\"first\":-?" count ",\"last\":" count ",\"last_hash\":\"" h64 "\"")) say("pruned", w[6], w[8])
                else if (rest ~ /^"(torn|segment|pruned)"/) say(w[2], "-", "-")
            }
            print part, NR, name, at, n + feed, seq, prev, hash, time, at + n + 1
            at += n + feed
        }' >>"$work/lines"
done <"$work/segments"
find "$work/bodies" -type f -exec sha256sum {} + | sed 's|^\([0-9a-f]*\) .*/\([0-9]*\)-\([0-9]*\)$|\2 \3 \1|' | sort >"$work/hashes"

# 2. Follow the chain.
awk '
    function wrong(what) { if (bad++ < 50) print "  " what }
    function sum(name, from, len,   command, got) {
        command = "tail -c +" (from + 1) " ./" name " | head -c " len " | sha256sum"
        command | getline got; close(command); return substr(got, 1, 64)
    }
    function take(i) { prev = hash[i]; next_seq = seq[i] + 1; at_hash[seq[i]] = hash[i]; at_end[seq[i]] = behind[i] " " name[i]; count++; if (says(i) == "pruned") pruned[part[i], nr[i]] = i }
    # What kind of record a line is, as far as it matters here: only where its hash holds.
    function says(i) { return whole[i] ? kind[part[i], nr[i]] : "" }
    # The first two whole records of a segment, in its first 16384 bytes: a torn one may stand before the one that opens it.
    function open(p,   i) {
        first_whole = second_whole = 0
        for (i = begin[p]; i <= stop[p] && at[i] + len[i] - 1 <= 16384 && !second_whole; i++)
            if (whole[i]) { if (first_whole) second_whole = i; else first_whole = i }
    }
    # The name of each segment up to this one is the number that is due there, unless another record stands there.
    function enter(upto,   name) {
        while (entered < upto) {
            open(++entered); name = called[entered]; sub(/\.jsonl$/, "", name)
            if (name + 0 != next_seq && (!first_whole || seq[first_whole] == next_seq)) wrong(called[entered] " begins with record " next_seq)
        }
    }
    FILENAME ~ /hashes$/ { real[$1 + 0, $2 + 0] = $3; next }
    FILENAME ~ /parts$/ { parts = $1; called[parts] = $2; size[parts] = $3; begin[parts] = 1; stop[parts] = 0; next }
    FILENAME ~ /said$/ { kind[$1, $2] = $3; number[$1, $2] = $4; text[$1, $2] = $5; next }
    FILENAME ~ /known$/ { known[++kept] = $0; if ($2 + 0 > most) most = $2 + 0; any = 1; next }
    { i = ++lines; part[i] = $1 + 0; nr[i] = $2 + 0; name[i] = $3; at[i] = $4; len[i] = $5; seq[i] = $6 + 0; prv[i] = $7; hash[i] = $8; time[i] = $9; behind[i] = $10
      whole[i] = ($6 >= 0 && real[$1 + 0, $2 + 0] == $8); if (!stop[part[i]]) begin[part[i]] = i; stop[part[i]] = i }
    END {
        first = called[1]; sub(/\.jsonl$/, "", first); first += 0
        next_seq = first; for (k = 0; k < 64; k++) prev = prev "0"
        open(1)
        if (first > 0 && first_whole) { next_seq = seq[first_whole]; prev = prv[first_whole] }
        start_prev = first_whole ? prev : "-"
        for (p = 2; p <= parts; p++) {
            open(p); k = says(first_whole) == "segment" ? first_whole : says(second_whole) == "segment" ? second_whole : 0
            if (k && text[p, nr[k]] " " number[p, nr[k]] != called[p - 1] " " size[p - 1]) wrong("record " seq[k] " does not describe the segment before it")
        }
        entered = 0
        for (i = 1; i <= lines; i++) {
            enter(part[i])
            if (whole[i] && seq[i] == next_seq && prv[i] == prev) {
                if (says(i) == "torn" && i != excused) wrong("record " seq[i] " accounts for bytes before it that are not there")
                take(i); continue
            }
            # A region that is no record: forgiven where the next record accounts for it, byte for byte.
            committed = 0; was = 0; healed = 0; resume = 0
            for (j = i; j <= lines && part[j] == part[i]; j++) {
                if (j > i && whole[j] && seq[j] == next_seq && prv[j] == prev && says(j) == "torn") {
                    region = at[j] - at[i]
                    if (number[part[j], nr[j]] == region && text[part[j], nr[j]] == sum(name[i], at[i], region)) { healed = 1; break }
                }
                if (whole[j]) {
                    if (!resume) resume = j
                    # Two that follow each other and differ in time were two appends: no crash loses the first of them.
                    if (was && prv[j] == hash[was] && time[j] != time[was]) { committed = 1; break }
                    was = j
                }
            }
            if (healed) { print "  accounted for: " region " bytes at " name[i] " byte " at[i] ", by record " seq[j]; take(j); i = j; continue }
            if (part[i] == parts && !committed && !(any && most >= next_seq)) { torn = 1; break }
            wrong("at " name[i] " byte " at[i] ": no record " next_seq " that follows the one before")
            if (bad >= 50) break
            if (resume) { prev = prv[resume]; next_seq = seq[resume]; i = resume - 1; excused = resume }
            else while (i < lines && part[i + 1] == part[i]) i++
        }
        if (bad < 50) enter(parts)
        if (first > 0) {
            ok = 0
            for (k in pruned) {
                last = number[k]; named = text[k]
                if (last != "-" && ((last + 1 == first && named == start_prev) || (last + 0 >= first && at_hash[last + 0] == named))) ok = 1
            }
            if (!ok) wrong("records 0 to " first - 1 " are missing, and no record says that they were pruned")
        }
        for (k = 1; k <= kept; k++) {
            split(known[k], w, " "); got = at_hash[w[2] + 0]
            if (got == "" && w[2] + 0 < first) continue
            if (got == "" || index(got, w[3]) != 1) wrong(w[1] " " w[2] " is not met")
            else if (w[1] == "HEAD" && at_end[w[2] + 0] != w[4] " " w[5]) wrong("HEAD was altered: record " w[2] " does not end where it says")
            if (w[1] == "given") given++
        }
        print (bad ? "ALTERED" : torn ? "torn tail" : "verified") ": " count + 0 " records, head " next_seq - 1 " " prev
        if (!given) print "  compared with no checkpoint from elsewhere: rewriting, or a cut at the end of a record, cannot be seen"
        exit bad ? 7 : torn ? 9 : 0
    }' "$work/parts" "$work/hashes" "$work/said" "$work/known" "$work/lines"
