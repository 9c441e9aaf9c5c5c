#!/bin/bash
# One boot of tests/all.d/40-identity: PART=recorded, device or rom. The card is at 00:02.0; FIRST and SECOND are hashes of ROMs;
# /lab/journal.tgz is the journal of the first boot.
. /lab/lib.sh
card=0000:00:02.0
modprobe xen-pciback
[ "$PART" = recorded ] || { mkdir -p "$J"; chmod 700 "$J" "${J%/*}"; tar xz -C "$J" -f /lab/journal.tgz; }
# the `error:` and the table are of the last reattach
said() { tr -s ' \n' ' ' </tmp/reattach.out | grep -qF -- "$1"; }
recorded() { grep -h '"kind":"device"' "$J"/*.jsonl | grep '"event":"bound"' | tail -n 1 | grep -q "\"rom_sha256\":\"$1\""; }
drives() { modprobe e1000e; wait_for 10 test -e "$P/$card/driver"; }

case $PART in
recorded)
  step "a card is recorded, held, and given back"
  drives; tool record --once 2>&1 | indent
  tool hold "$card" 2>&1 | indent
  reattach "$card"; same "reattach ended 0" 0 $?
  check "settle told that the ROM is new to it" said "ROM recorded for the first time"
  check "its hash is that of the file" recorded "$FIRST"
  tool hold "$card" >/dev/null 2>&1; reattach "$card" >/dev/null; same "and once more" 0 $?
  check "the ROM is unchanged" said "ROM unchanged"
  check "the kernel lets nobody read it any more" eval "! cat $P/$card/rom >/dev/null 2>&1"
  echo JOURNAL-BEGIN; tar c -C "$J" . | gzip | base64; echo JOURNAL-END
  ;;
device)
  step "at the next boot another device is at its address"
  give_sysfs "$card"
  tool show "$card" >/tmp/show 2>&1; indent </tmp/show
  check "show names both" eval "tr -s ' \n' ' ' </tmp/show | grep -qF 'vendor and device 8086:10d3 -> 8086:100e'"
  check "the hazard is identity-changed" grep -q identity-changed /tmp/show
  check "it has to be accepted" grep -qw identity-changed <<<"$(accepts "$card" | tr , ' ')"
  ;;
rom)
  step "at the next boot the card is the same, its ROM another"
  drives; tool hold "$card" 2>&1 | indent
  check "nothing tells yet" eval '! accepts "$card" | grep -q identity-changed'
  before=$(fields "$card")
  reattach "$card"; same "reattach undid what it did" 1 $?
  check "the old and the new hash are named" said "error: settle: its ROM changed: SHA-256 $FIRST -> $SECOND"
  same "the card is exactly as before" "$before" "$(fields "$card")"
  tool reattach "$card" --accept "$(accepts "$card"),identity-changed" >/tmp/reattach.out 2>&1
  same "accepted, it comes back" 0 $?
  check "the new hash is recorded" recorded "$SECOND"
  same "and dom0 drives it" "$card driver=e1000e slot=no override=(null) owner=d0" "$(fields "$card")"
  ;;
esac
check "the journal verifies" tool audit verify
finish
