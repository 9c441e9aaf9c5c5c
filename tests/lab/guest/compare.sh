#!/bin/bash
# One boot of tests/lab/compare: every kind goes to pciback one way, is used by a qube or not, and is brought back by one
# means. Prints `ROW kind result why` for each. Set by the host: WAY, USE, MEANS (recipe, xl, tool), KINDS.
. /lab/lib.sh
. /lab/hvm.sh
. /lab/libvirt.sh
kinds=($KINDS); bdfs=()
coldplug
for kind in "${kinds[@]}"; do bdfs+=("$(bdf_of "$kind")"); done
case $USE in
  libvirt-*) libvirt_start || exit 1 ;;
  *) give "$WAY" "${bdfs[@]}" 2>&1 | indent ;;
esac
# under libvirt every other function is detached beforehand, as Qubes does it; the rest comes by managed='yes' alone
libvirt_uses() {
  local i
  for i in "${!bdfs[@]}"; do [ $((i % 2)) = 1 ] || virsh nodedev-detach "$(nodedev "${bdfs[i]}")" | indent; done
  libvirt_defines "$1" qube yes "${bdfs[@]}"
  READY=600 libvirt_starts qube
  virsh destroy qube | indent; wait_for 90 libvirt_gone qube; sleep 2
}
hvm_uses() { "$1" qube "${bdfs[@]}" && { [ "$2" = 0 ] || domu_ready qube "$2"; } || note "qube did not get ready"; domu_stop qube; }
case $USE in
  never) ;;
  xl-pv) use_once qube "${bdfs[@]}" ;;
  libvirt-pv) libvirt_uses pv ;;
  libvirt-hvm) libvirt_uses hvm ;;
  xl-hvm) hvm_uses hvm_start 600 ;;
  # its guest takes minutes to start and gets no interrupts from the card: the stub domain's driver had it, that is the case
  stub) hvm_uses stub_start 0 ;;
esac
if [ "$USE" != never ]; then
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
by_xl() {
  case $USE in
    libvirt-*) virsh nodedev-reattach "$(nodedev "$1")" ;;
    *) xl pci-assignable-remove -r "$1" ;;
  esac
}
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
