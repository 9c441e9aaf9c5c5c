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
# stub_start NAME BDF…: its QEMU runs in the domain NAME-dm; STUB_EXTRA, more on that one's command line. libxl gives that one half a
# minute to start, which a busy machine may take: then once more.
stub_start() {
  local n=1
  while [ $n -le 3 ]; do
    hvm_create_stub "$@" && return
    grep -q 'startup timed out' "/tmp/$1.out" || break
    note "the stub domain did not start within libxl's half minute ($n)"; n=$((n + 1)); sleep 2
  done
  fail "xl create $1"; indent <"/tmp/$1.out"; stub_log "$1" | tail -n 20 | indent; return 1
}
hvm_create_stub() {
  # without the first line libxl takes its own old stub domain
  HVM_EXTRA="device_model_version=\"qemu-xen\"
device_model_stubdomain_override=1
stubdomain_kernel=\"/mnt/domu/vmlinux\"
stubdomain_ramdisk=\"/usr/share/lab/stub\"
stubdomain_cmdline=\"console=hvc0 quiet mitigations=off cryptomgr.notests ${STUB_EXTRA:-}\"
stubdomain_memory=300" hvm_create "$@"
}
stub_log() { cat "/var/log/xen/qemu-dm-$1.log" 2>/dev/null; }
stub_says() { stub_log "$1" | grep -aq "STUB: $2"; }
# what xenstore has of PCI functions, stub domains and their QEMU
pci_nodes() { xenstore-ls -f / | grep -v '^/tool\|^/vm' | grep -E '/pci|/target|device-model' | sort; }
