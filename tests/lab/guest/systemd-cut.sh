#!/bin/bash
# One boot of tests/all.d/46-systemd-cut: PART=power (the power goes in the middle of a reattach), reboot (what the last boot left was
# settled by the unit before anything else; then `systemctl reboot` comes in the middle of one), or after.
. /lab/lib.sh
. /lab/cuts.sh
declare -A MODULE=([e1000e]=e1000e)
nic=$(bdf_of e1000e)
settled() {
  step "after $1: the unit settled it at boot"
  same "the unit ended well" "success 0" "$(systemctl show -P Result qubes-dom0-pci-recover) $(systemctl show -P ExecMainStatus qubes-dom0-pci-recover)"
  same "it had something to look at" yes "$(systemctl show -P ConditionResult qubes-dom0-pci-recover)"
  same "the journal verifies" 0 "$(verified)"
  local rc=0; tool recover >/tmp/out 2>&1 </dev/null || rc=$?; indent </tmp/out
  check "nothing is left to settle" grep -q 'nothing to do' /tmp/out
  cat $J/*.jsonl | jq -c 'select(.kind == "op" and .phase == "end") | [.op, .outcome]' | indent
  same "the recorder runs" active "$(systemctl is-active qubes-dom0-pci-record)"
  check "dom0's driver has the card, as after any boot" wait_for 60 eval '[ "$(driver "$nic")" = e1000e ]'
}
modprobe xen-pciback
coldplug e1000e
case $PART in
power)
  learn e1000e
  step "the power goes in the middle: the first change is made, its result is not in the journal"
  held e1000e
  stopped_at write "$(carries_out dequarantine)" qubes-dom0-pci --json reattach "$nic" --accept "${CONSENT[e1000e]}"
  fields "$nic" | indent
  [ $FAILED = 0 ] && echo LAB-POWER-CUT
  sleep 60; fail "the power did not go" ;;
reboot)
  settled "the power went"
  same "it was ended by the reboot" rebooted "$(cat $J/*.jsonl | jq -r 'select(.kind == "op" and .phase == "end") | .outcome' | tail -n 1)"
  learn e1000e
  step "systemctl reboot in the middle"
  held e1000e
  stopped_at write "$(carries_out dequarantine)" qubes-dom0-pci --json reattach "$nic" --accept "${CONSENT[e1000e]}"
  fields "$nic" | indent
  [ $FAILED = 0 ] || finish
  echo LAB-LEAVE
  systemctl reboot
  sleep 120; fail "the machine did not reboot" ;;
after)
  settled "a reboot in the middle"
  step "everything goes on as ever"
  held e1000e; heal e1000e
  same "the journal verifies" 0 "$(verified)" ;;
esac
finish
