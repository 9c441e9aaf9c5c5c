#!/bin/bash
# One boot of tests/all.d/45-power-cut: PART=cut (the power goes behind a write of a reattach: WRITE, as announces and
# carries_out of cuts.sh name it) or after.
. /lab/lib.sh
. /lab/cuts.sh
declare -A MODULE=([e1000e]=e1000e)
nic=$(bdf_of e1000e)

after() {
  step "after the power came back"
  coldplug e1000e
  local before rc=0; before=$(fields "$nic")
  note "$before"
  rc=$(verified); check "the journal verifies, at most with a torn tail ($rc)" test "$rc" = 0 -o "$rc" = 9
  for command in "reattach $nic" "hold $nic" "rollback $nic" "plan $nic"; do
    rc=0; tool $command >/tmp/out 2>&1 </dev/null || rc=$?
    same "$command: exit 8" 8 $rc
  done
  check "it says what to do" grep -q 'recover' /tmp/out
  rc=0; tool recover >/tmp/out 2>&1 </dev/null || rc=$?; indent </tmp/out
  same "recover: exit 0" 0 $rc
  check "it was ended by the reboot" grep -q 'ended by a reboot' /tmp/out
  same "the device was not touched" "$before" "$(fields "$nic")"
  tool recover >/tmp/out 2>&1; check "once more there is nothing to do" grep -q 'nothing to do' /tmp/out
  same "the journal verifies" 0 "$(verified)"
  check "it tells how the operation ended" eval 'tail -n 3 $J/*.jsonl | jq -Rne "any(inputs | fromjson?; .phase == \"end\" and .outcome == \"rebooted\")" >/dev/null'
  check "dom0's driver has it, as after any boot" test "$(driver "$nic")" = e1000e
}

if [ -e "$J" ]; then after; else coldplug e1000e; fi
case $PART in
cut)
  learn e1000e
  step "the power goes in the middle: $WRITE"
  held e1000e
  stopped_at write "$($WRITE)" qubes-dom0-pci --json reattach "$nic" --accept "${CONSENT[e1000e]}"
  fields "$nic" | indent
  tail -n 1 $J/*.jsonl | jq -r '"last in the journal: " + .step + " " + .phase' | indent
  [ $FAILED = 0 ] && echo LAB-POWER-CUT
  sleep 60; fail "the power did not go" ;;
after)
  step "everything goes on as ever"
  held e1000e; heal e1000e
  same "the journal verifies" 0 "$(verified)" ;;
esac
finish
