# shellcheck shell=bash
# What lab scripts use in dom0: give a device away, run a qube with it, look at it, show that it works.
# A script starts with `. /lab/lib.sh` and ends with `finish`.

P=/sys/bus/pci/devices
D=/sys/bus/pci/drivers
K=$D/pciback
# the program's journal
J=/var/lib/qubes-dom0-pci/journal

# ---- saying and counting

FAILED=0
step() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
pass() { printf 'ok   %s\n' "$*"; }
fail() { printf 'FAIL %s\n' "$*"; FAILED=$((FAILED + 1)); }
indent() { sed 's/^/   | /'; }
# check TEXT COMMAND…: the command succeeds
check() { local text=$1; shift; if "$@"; then pass "$text"; else fail "$text"; fi; }
# same TEXT A B: two strings are equal; both are shown when they are not
same() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1"; note "before: $2"; note "after:  $3"; fi; }
finish() { printf '\n%s\n' "$([ $FAILED = 0 ] && echo 'all held' || echo "$FAILED did not hold")"; exit $((FAILED > 0)); }

# wait_for SECONDS COMMAND…: until it succeeds
wait_for() {
  local end=$(($(cut -d. -f1 /proc/uptime) + $1)); shift
  until "$@" >/dev/null 2>&1; do [ "$(cut -d. -f1 /proc/uptime)" -lt $end ] || return 1; usleep 200000; done
}

# ---- the device table (/lab/devices): KIND BDF DRIVER PROOF

bdf_of() { awk -v k="$1" '$1 == k { print $2 }' /lab/devices; }
kind_of() { awk -v b="$1" '$2 == b { print $1 }' /lab/devices; }
driver_for() { awk -v k="$1" '$1 == k { print $3 }' /lab/devices; }
proof_for() { awk -v k="$1" '$1 == k { print $4 }' /lab/devices; }
has_kind() { [ -n "$(bdf_of "$1")" ]; }

# ---- looking

# of two dom0s: is this kernel at least that one?
kernel_at_least() { [ "$(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1)" = "$1" ]; }

driver() { local l; l=$(readlink "$P/$1/driver") && echo "${l##*/}" || echo none; }
override() { cat "$P/$1/driver_override"; }
listed() { grep -qx "$1" "$K/slots" 2>/dev/null; }
# Xen's owner of a function: d0, d3, or DomIO (quarantined). `xl` has no plain way to ask; debug key Q tells.
owner() {
  xl debug-keys Q; usleep 200000
  xl dmesg | tr -d '\r' | sed -n "s/^(XEN) \([0-9: .\[\]-]*\]\)\? *$1 - \([^ :]*\).*/\2/p" | tail -n 1
}
# what "exactly as before" means for a device: driver, slot, override, Xen's owner
fields() { snapshot "$1" | sed 's/ enable=.*//'; }
# that, and what the device itself says, in one line
snapshot() {
  [ -e "$P/$1" ] || { echo "$1 absent"; return; }
  printf '%s driver=%s slot=%s override=%s owner=%s enable=%s command=%s\n' "$1" "$(driver "$1")" \
    "$(listed "$1" && echo listed || echo no)" "$(override "$1")" "$(owner "$1")" "$(cat "$P/$1/enable")" \
    "$(od -An -tx2 -j4 -N2 "$P/$1/config" | tr -d ' ')"
}
kernel_says() { dmesg | grep -q "$1"; }

# ---- loading and giving

# dom0 with drivers, as after an ordinary boot: `coldplug KIND…`, or everything in the table
coldplug() {
  local kind kinds=("$@") bdf
  if [ $# = 0 ]; then
    mapfile -t kinds < <(cut -d' ' -f1 /lab/devices)
    for bdf in "$P"/*; do modprobe -a "$(cat "$bdf/modalias")" 2>/dev/null; done
  fi
  for kind in "${kinds[@]}"; do
    bdf=$(bdf_of "$kind"); [ -n "$bdf" ] && modprobe -a "$(cat "$P/$bdf/modalias")" 2>/dev/null
  done
  # and what udev would load for what then appears on their own buses
  modprobe -a usb-storage usbhid sd-mod mmc-block snd-hda-codec-generic virtio-net virtio-rng i2c-dev 2>/dev/null
  modprobe xen-pciback
  for kind in "${kinds[@]}"; do
    [ "$(driver_for "$kind")" = - ] || wait_for 10 test -e "$P/$(bdf_of "$kind")/driver" || note "no driver for $kind"
  done
  sleep 2
}

# as the boot scripts do (dracut's qubes-pciback)
give_sysfs() {
  local bdf
  for bdf; do
    echo "$bdf" >"$K/new_slot"
    [ "$(driver "$bdf")" = none ] || echo "$bdf" >"$P/$bdf/driver/unbind"
    [ "$(driver "$bdf")" = pciback ] || echo "$bdf" >"$K/bind"
  done
}
# as libvirt does
give_override() {
  local bdf
  for bdf; do
    echo pciback >"$P/$bdf/driver_override"
    [ "$(driver "$bdf")" = none ] || echo "$bdf" >"$P/$bdf/driver/unbind"
    echo "$bdf" >/sys/bus/pci/drivers_probe
  done
}
give_xl() { local bdf; for bdf; do xl pci-assignable-add "$bdf" 2>&1 | grep -v 'not bound to a driver'; done; }
give() { local way=$1; shift; "give_$way" "$@"; }

# ---- qubes

console() { cat "/var/log/xen/console/guest-$1.log" 2>/dev/null; }
# domu_start NAME BDF…; DOMU_EXTRA for more on its kernel's command line
domu_start() {
  local name=$1 list='' bdf; shift
  for bdf; do list+="'$bdf',"; done
  rm -f "/var/log/xen/console/guest-$name.log"
  cat >"/tmp/$name.cfg" <<END
name="$name"
kernel="/mnt/domu/vmlinux"
ramdisk="/mnt/domu/initrd"
extra="console=hvc0 quiet swiotlb=8192 ${DOMU_EXTRA:-}"
memory=256
on_crash="destroy"
pci=[${list%,}]
END
  xl create "/tmp/$name.cfg" >"/tmp/$name.out" 2>&1 || { fail "xl create $name"; indent <"/tmp/$name.out"; return 1; }
}
# domu_says NAME SECONDS TEXT
domu_says() { wait_for "$2" domu_has "$1" "$3"; }
domu_has() { console "$1" | grep -aq "$3$2"; }
domu_ready() { domu_says "$1" "${2:-180}" 'DOMU: ready'; }
domu_id() { xl domid "$1" 2>/dev/null; }
domu_stop() { xl destroy "$1" 2>&1 | indent; wait_for 30 domu_gone "$1"; sleep 1; }
domu_gone() { ! xl domid "$1" >/dev/null 2>&1; }
# what a domU says when the data of a kind moved there
domu_word() {
  case $(proof_for "$1") in
    net:*) proof_for "$1" | cut -d: -f2 ;;
    usbhub) echo usb ;;
    usbdisk|nvme|ahci|mmc) echo "$1" ;;
    *) proof_for "$1" ;;
  esac
}
domu_used() { console "$1" | grep -aq "DOMU: data ok $(domu_word "$2")"; }
# its rounds go on, and the word is in a round that began after now
domu_still_uses() {
  local word before
  word=$(domu_word "$2"); before=$(console "$1" | grep -ac 'DOMU: round')
  wait_for 60 domu_round_after "$1" "$((before + 1))" "$word"
}
domu_round_after() { console "$1" | grep -a 'DOMU: round' | tail -n "+$(($2 + 1))" | grep -aqF " $3"; }

# Used by a real qube that was then destroyed: `use_once NAME BDF…`. Four devices a qube (NAME1, NAME2, …), destroyed side by
# side: xl takes away one device at a time and waits ten seconds for an answer that a destroyed qube cannot give.
use_once() {
  local name=$1 n=0 i; shift
  while [ $# -gt 0 ]; do
    n=$((n + 1))
    domu_start "$name$n" "${@:1:4}"
    shift $(($# < 4 ? $# : 4))
  done
  for i in $(seq $n); do domu_ready "$name$i" || note "$name$i did not get ready"; done
  for i in $(seq $n); do xl destroy "$name$i" >/dev/null 2>&1 & done
  wait
  for i in $(seq $n); do wait_for 30 domu_gone "$name$i"; done
  sleep 1
}

# ---- does it work? `works KIND`: data moved, not a driver link. Says why not on fd 1.

works() {
  local kind=$1 bdf proof word
  bdf=$(bdf_of "$kind"); proof=$(proof_for "$kind")
  word=$(driver "$bdf"); case $word in none|pciback) echo "its driver is: $word"; return 1 ;; esac
  "works_${proof%%:*}" "$bdf" "$kind" "${proof#*:}"
}
bytes_match() { # DEVICE KIND
  echo 3 >/proc/sys/vm/drop_caches
  [ "$(timeout 60 dd if="$1" bs=4096 count=16 2>/dev/null | md5sum)" = "$(yes "LAB $2" | head -c 65536 | md5sum)" ] ||
    { echo "bytes of $1 are not those of the image"; return 1; }
}
works_disk() { # BDF KIND SECONDS PATTERN: the first block device below the function whose name matches
  local dev
  wait_for "$3" block_below "$1" "$4" || { echo "no disk appeared"; return 1; }
  dev=$(block_below "$1" "$4"); wait_for 10 test -b "/dev/$dev"
  bytes_match "/dev/$dev" "$2"
}
block_below() { find "$P/$1/" -path '*/block/*' -prune -o -name "$2" -print 2>/dev/null | sed 's/.*\///' | grep . || find "$P/$1/" -name "$2" 2>/dev/null | sed 's/.*\///' | grep -m 1 .; }
works_nvme() { works_disk "$1" "$2" 20 'nvme*n1'; }
works_ahci() { works_disk "$1" "$2" 20 'sd[a-z]'; }
works_mmc() { works_disk "$1" "$2" 20 'mmcblk[0-9]'; }
# the tool leaves a returned controller with its devices not yet allowed: allow each, as an admin would
authorise() {
  local file n=0
  while [ $n -lt 10 ]; do
    for file in $(find "$P/$1/" -name authorized 2>/dev/null); do [ "$(cat "$file")" = 1 ] || echo 1 >"$file" 2>/dev/null; done
    [ -n "$(block_below "$1" 'sd[a-z]')" ] && return; n=$((n + 1)); sleep 1
  done
}
works_usbdisk() { authorise "$1"; works_disk "$1" "$2" 5 'sd[a-z]'; }
works_usbhub() {
  wait_for 10 usb_child "$1" || { echo "no USB device on it"; return 1; }
  for f in $(find "$P/$1/" -name authorized); do echo 1 >"$f" 2>/dev/null; done
  wait_for 10 usb_interface "$1" || { echo "the USB device has no interface"; return 1; }
}
usb_child() { ls "$P/$1"/usb*/*-*/idVendor; }
usb_interface() { ls "$P/$1"/usb*/*-*/*-*:*/bInterfaceClass; }
works_net() {
  local name
  wait_for 10 net_below "$1" || { echo "no network interface"; return 1; }
  name=$(net_below "$1")
  ip link set "$name" up
  if timeout 60 busybox udhcpc -i "$name" -n -q -t 12 -T 1 -s /bin/true 2>&1 | grep -q "obtained from $3\.2"; then ip link set "$name" down; return 0; fi
  ip link set "$name" down; echo "no DHCP lease over $name"; return 1
}
net_below() { ls -d "$P/$1"/net/* "$P/$1"/virtio*/net/* 2>/dev/null | sed 's/.*\///' | grep -m 1 .; }
works_hda() { wait_for 15 codec_below "$1" || { echo "no codec"; return 1; }; }
codec_below() { ls "$P/$1"/hdaudioC*D*/vendor_id && ls -d "$P/$1"/sound/card*; }
works_rng() {
  wait_for 10 test -c /dev/hwrng || { echo "no /dev/hwrng"; return 1; }
  [ "$(timeout 20 head -c 16 /dev/hwrng | wc -c)" = 16 ] || { echo "no random bytes"; return 1; }
}
works_i2c() {
  wait_for 5 ls "$P/$1"/i2c-* || { echo "no i2c adapter"; return 1; }
  local bus; bus=$(ls -d "$P/$1"/i2c-* | sed 's/.*-//' | head -n 1)
  modprobe i2c-dev; wait_for 5 test -c "/dev/i2c-$bus"
  # the memory modules' descriptors, which QEMU puts at 0x50
  busybox i2cget -y "$bus" 0x50 0 >/dev/null 2>&1 || { echo "no answer on the bus"; return 1; }
}
works_lpc() { [ "$(driver "$1")" = lpc_ich ] || { echo "not lpc_ich"; return 1; }; }
works_tty() {
  local tty
  wait_for 5 tty_below "$1" || { echo "no tty"; return 1; }
  tty=$(tty_below "$1"); wait_for 5 test -c "/dev/$tty"
  timeout 10 stty -F "/dev/$tty" 9600 2>/dev/null || { echo "$tty does not open"; return 1; }
}
# Linux 6.1: BDF/tty/ttyS4; 6.12: below the serial core's own two devices, BDF/BDF:0/BDF:0.0/tty/ttyS4
tty_below() { find "$P/$1/" -maxdepth 4 -path '*/tty/tty*' 2>/dev/null | sed 's/.*\///' | grep -m 1 .; }
works_none() { echo "nothing drives it"; return 1; }
check_works() { local why; if why=$(works "$1"); then pass "$1 works: data moved${2:+ ($2)}"; else fail "$1 does not work${2:+ ($2)}: $why"; fi; }

# ---- the program

tool() { qubes-dom0-pci "$@"; }
# what the plan asks the admin to accept, as one --accept word
accepts() { tool --json plan "$@" 2>/dev/null | jq -r '(.accept // []) | join(",")'; }
# reattach as an admin who read the plan and accepts what it names; its output is indented, its exit code returned
reattach() {
  local bdf=$1 ids rc=0; shift
  ids=$(accepts "$bdf" "$@")
  tool reattach "$bdf" ${ids:+--accept "$ids"} "$@" >/tmp/reattach.out 2>&1 </dev/null || rc=$?
  indent </tmp/reattach.out
  return $rc
}
# the state `list` names for a function
state_of() { tool --json list --all 2>/dev/null | jq -r --arg b "$1" '.. | objects | select(.bdf? == $b and .state?) | .state' | head -n 1; }
# named_as BDF REGEX: `list` names it so
named_as() {
  local state; state=$(state_of "$1")
  if grep -qiE -- "$2" <<<"$state"; then pass "list names it: $state"; else fail "list names it: '$state', not /$2/"; fi
}
# heal KIND [NAME [ARGUMENT…]]: reattach ends 0, nothing is left over, data moves
heal() {
  local bdf rc=0; bdf=$(bdf_of "$1")
  reattach "$bdf" "${@:3}" || rc=$?
  [ $rc = 0 ] && pass "reattach $1 ended 0" || { fail "reattach $1 ended $rc"; cat /tmp/reattach.out; }
  same "$1: driver bound, slot gone, override clear, Xen's owner dom0" \
    "$bdf driver=$(driver_for "$1") slot=no override=(null) owner=d0" "$(fields "$bdf")"
  check_works "$1" "${2:-}"
}
