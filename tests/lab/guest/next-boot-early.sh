#!/bin/bash
# What the initramfs of tests/all.d/46-next-boot does before udev comes: hides devices, and loads what `rd.driver.pre` names.
R=/mnt/root
mkdir -p $R
for disk in /sys/block/vd*; do
  [ "$(cat "$disk/serial")" != lab-root ] || mount -t ext4 -o ro "/dev/${disk##*/}" $R
done
mkdir -p /etc/modprobe.d /etc/driverctl.d
cp $R/etc/modprobe.d/*.conf /etc/modprobe.d/
cp $R/etc/driverctl.d/* /etc/driverctl.d/
PATH=$PATH:$R/usr/bin
export DRACUT_SYSTEMD=1 hookdir=/run/hooks
mkdir -p $hookdir
. $R/usr/lib/dracut/modules.d/*base/dracut-lib.sh
SYS=/sys RELEASE=4.3
. /lab/hide.sh
give() {
  local place=$SYS/bus/pci/devices/$1 pciback=$SYS/bus/pci/drivers/pciback
  [ ! -e "$place/driver" ] || echo -n "$1" >"$place/driver/unbind"
  echo -n "$1" >$pciback/new_slot
  echo -n "$1" >$pciback/bind
}
modprobe xen-pciback
hide_devices
echo "stops $STOPS, usbguard $USBGUARD" | tee /run/early.end
for module in $(getargs rd.driver.pre=); do modprobe "${module//,/ }"; done
