# shellcheck shell=bash
# HVM qubes under xl (run --with hvm), and with their QEMU in a stub domain (run --with stub-domain). Sourced after lib.sh.
# A function at 00:02.0 (kind e1000e) cannot be given to one: its QEMU takes that address for Intel's graphics.

# hvm_config NAME BDF…: HVM_EXTRA, more lines of xl.cfg; DOMU_EXTRA, more on its kernel's command line
hvm_config() {
  local name=$1 list='' bdf; shift
  for bdf; do list+="'$bdf${PCI_OPTIONS:-}',"; done
  cat <<END
name="$name"
type="hvm"
kernel="/usr/share/lab/vmlinuz"
ramdisk="/mnt/domu/initrd"
cmdline="console=hvc0 quiet mitigations=off cryptomgr.notests ${DOMU_EXTRA:-}"
memory=300
vcpus=1
vga="none"
nographic=1
usb=0
on_crash="destroy"
on_reboot="destroy"
pci=[${list%,}]
${HVM_EXTRA:-}
END
}
hvm_create() { # NAME BDF…
  hvm_config "$@" >"/tmp/$1.cfg"
  rm -f "/var/log/xen/console/guest-$1.log" "/var/log/xen/qemu-dm-$1.log"
  xl create "/tmp/$1.cfg" >"/tmp/$1.out" 2>&1
}
hvm_start() { # NAME BDF…
  hvm_create "$@" || {
    fail "xl create $1"; indent <"/tmp/$1.out"; tail -n 20 "/var/log/xen/qemu-dm-$1.log" 2>/dev/null | indent; return 1; }
}
# stub_start NAME BDF…: its QEMU runs in the domain NAME-dm; STUB_EXTRA, more on that one's command line
stub_start() {
  local name=$1 rc=0 xl
  # without the first line libxl takes its own old stub domain
  HVM_EXTRA="device_model_version=\"qemu-xen\"
device_model_stubdomain_override=1
stubdomain_kernel=\"/mnt/domu/vmlinux\"
stubdomain_ramdisk=\"/usr/share/lab/stub\"
stubdomain_cmdline=\"console=hvc0 quiet mitigations=off cryptomgr.notests ${STUB_EXTRA:-}\"
stubdomain_memory=300" hvm_config "$@" >"/tmp/$name.cfg"
  rm -f "/var/log/xen/console/guest-$name.log" "/var/log/xen/qemu-dm-$name.log"
  xl create "/tmp/$name.cfg" >"/tmp/$name.out" 2>&1 & xl=$!
  stub_attend "$name" $xl
  wait $xl || rc=$?
  [ $rc = 0 ] || { fail "xl create $name"; indent <"/tmp/$name.out"; stub_log "$name" | tail -n 20 | indent; return 1; }
}
# What a stub domain needs of dom0 while it starts. Its console: QEMU 10 serves one when its frontend says that it is connected,
# which a domain's first console never does, and a domain whose console nobody empties stands still. And time: libxl gives up after half
# a minute, less than a busy machine takes to emulate it; a stopped xl does not count it, and looks at the answer first when it goes on.
stub_attend() { # NAME XL
  local id guest
  wait_for 120 stub_domain "$1" "$2"
  id=$(domu_id "$1-dm") || return 0
  guest=$(domu_id "$1")
  wait_for 60 xenstore-read "/local/domain/$id/console/port"
  xenstore-write "/local/domain/$id/console/state" 4
  wait_for 60 stub_unpaused "$1"
  kill -STOP "$2"
  wait_for 240 xenstore-read "/local/domain/$id/device-model/$guest/state"
  kill -CONT "$2"
}
stub_domain() { domu_id "$1-dm" || ! kill -0 "$2"; }
stub_unpaused() { xl list "$1-dm" | awk 'END { exit $5 ~ /p/ }'; }
stub_log() { cat "/var/log/xen/qemu-dm-$1.log" 2>/dev/null; }
stub_says() { stub_log "$1" | grep -aq "STUB: $2"; }
# what xenstore has of PCI functions, stub domains and their QEMU
pci_nodes() { xenstore-ls -f / | grep -v '^/tool\|^/vm' | grep -E '/pci|/target|device-model' | sort; }
