#!/bin/bash
# The second boot of tests/all.d/46-next-boot: each device is where the first one predicted it to be.
. /lab/lib.sh
indent </run/early.out
predicted=/mnt/root/root/predicted
wait_for 60 udevadm settle
same "the boot goes on, as predicted" "$(jq -r '"stops \(if .boot.stops then "yes" else "no" end), usbguard \(if .boot.usbguard.enabled then "yes" else "no" end)"' $predicted)" \
  "$(cat /run/early.end)"
# udev may still be at it
driven() { [ "$(driver "$1")" != none ]; }
for bdf in $(jq -r '.functions[] | select(.next == "driver") | .bdf' $predicted); do wait_for 30 driven "$bdf"; done

place() {
  [ -e "$P/$1" ] || { echo absent; return; }
  case $(driver "$1") in
    none) echo no-driver ;;
    pciback) echo hidden ;;
    pci-stub|vfio-pci) echo stub ;;
    *) echo driver ;;
  esac
}
step "each device"
while read -r bdf next driver; do
  same "$bdf: $next" "$next" "$(place "$bdf")"
  # the device table knows the driver of what the prediction has no name for
  [ "$driver" != null ] || [ "$next" != driver ] || driver=$(driver_for "$(kind_of "$bdf")")
  [ "$next" != driver ] || [ -z "$driver" ] || same "$bdf: its driver is $driver" "$driver" "$(driver "$bdf")"
done < <(jq -r '.functions[] | "\(.bdf) \(.next) \(.driver)"' $predicted)
for bdf in "$P"/*; do bdf=${bdf##*/}; grep -q "\"$bdf\"" $predicted || fail "$bdf was not predicted"; done
same "no function more than predicted" "$(jq '.functions | length' $predicted)" "$(ls $P | wc -l)"
for pair in hidden=6 stub=2 driver=8 no-driver=1; do
  check "there is enough of each: ${pair%=*}" test "$(jq --arg next "${pair%=*}" '[.functions[] | select(.next == $next)] | length' $predicted)" -ge "${pair#*=}"
done
[ $FAILED = 0 ] || { dmesg | tail -n 60 | indent; systemctl --failed --no-legend --plain | indent; lsmod | indent; }
finish
