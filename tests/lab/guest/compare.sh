#!/bin/bash
# One boot of tests/lab/compare: every kind goes to pciback one way, is used by a qube or not, and is brought back by one
# means. Prints `ROW kind result why` for each. Set by the host: WAY, USED (never, used), MEANS (recipe, xl, tool), KINDS.
. /lab/lib.sh
kinds=($KINDS); bdfs=()
coldplug
for kind in "${kinds[@]}"; do bdfs+=("$(bdf_of "$kind")"); done
give "$WAY" "${bdfs[@]}" 2>&1 | indent
if [ "$USED" = used ]; then
  use_once qube "${bdfs[@]}"
  for kind in "${kinds[@]}"; do
    cat /var/log/xen/console/guest-qube*.log | grep -aq "DOMU: data ok $(domu_word "$kind")" && note "a qube moved data through $kind"
  done
fi

# the documented recipe, as it is written
by_recipe() {
  local BDF=$1 MOD
  echo "$BDF" > /sys/bus/pci/drivers/pciback/unbind
  MOD=`modprobe -R \`cat /sys/bus/pci/devices/$BDF/modalias\` | head -n1`
  echo "$BDF" > /sys/bus/pci/drivers/$MOD/bind
}
by_xl() { xl pci-assignable-remove -r "$1"; }
# a driver built into the kernel has no alias: reattach refuses and asks for its name, and an admin gives it
by_tool() {
  local rc=0
  reattach "$1" || rc=$?
  [ $rc = 3 ] && grep -q -- 'named with --driver' /tmp/reattach.out && [ "$(driver_for "$kind")" != - ] || return $rc
  named=' (driver named with --driver)'
  reattach "$1" --driver "$(driver_for "$kind")"
}

for kind in "${kinds[@]}"; do
  bdf=$(bdf_of "$kind"); before=$(fields "$bdf"); rc=0; named=
  "by_$MEANS" "$bdf" >/tmp/out 2>&1 || rc=$?
  if why=$(works "$kind" 2>/dev/null); then echo "ROW $kind works$named"
  elif [ "$rc" = 3 ] && [ "$MEANS" = tool ] && [ "$before" = "$(fields "$bdf")" ]; then
    echo "ROW $kind refused $(grep -o 'error: .*' /tmp/out | head -n 1 | cut -c8-100 | sed 's|^refused ||')"
  else
    case $(driver "$bdf") in none) why="no driver" ;; pciback) why="still with pciback" ;; *) why="driver bound, dead: $why" ;; esac
    echo "ROW $kind wrong $(tr '\n' ' ' <<<"$why")"; tail -n 12 /tmp/out | indent
  fi
done
exit 0
