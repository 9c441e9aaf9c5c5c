# shellcheck shell=bash
# One boot of the dom0 in QEMU: the per-run initramfs and disks, the command line, and waiting for it to end.
# Everything of a run is in a folder of its own ($RUN), so that two labs can run side by side.

# The device table, one line a kind: KIND BDF DRIVER PROOF <TAB> QEMU ARGUMENTS
lab_device_table() { # all, none ('') or A,B,…
  local row args
  awk '/^#/ || /^$/ { next } /^ / { sub(/^ +/, ""); args = args " " $0; next }
       { if (row) print row "\t" args; $1 = $1; row = $0; args = "" } END { print row "\t" args }' "$LAB/devices" |
  while IFS=$'\t' read -r row args; do
    # what QEMU has anyway stays in the table
    [ "$1" = all ] || [ -z "$args" ] || { [ "$row" = = ] && [ -n "$1" ]; } || [[ ",$1," == *",${row%% *},"* ]] || continue
    printf '%s\t%s\n' "$row" "$args"
  done
}

# lab_qemu ARGUMENTS: QEMU_SYSTEM is this machine's, or Debian 13's where this one lacks a model
lab_qemu() {
  local models model
  QEMU_SYSTEM=(qemu-system-x86_64)
  models=$(qemu-system-x86_64 -device help 2>/dev/null)
  for model in $(grep -o -- '-device [^, ]*' <<<"$1" | cut -d' ' -f2 | sort -u); do
    grep -q "name \"$model\"" <<<"$models" || { lab_qemu_unpacked; return; }
  done
}

# lab_host_program FILE INTO NAME: a program of this machine, for dom0. What it is linked with and dom0 lacks comes along; so does
# this machine's C library where it is the newer one (an older program runs with a newer C library, not the other way round).
lab_host_program() {
  local lib dir=$2/usr/lib/x86_64-linux-gnu newer=''
  mkdir -p "$dir"; cp "$1" "$2/usr/bin/$3"
  lab_newer_libc && newer='ld-linux-x86-64|lib(c|m|dl|rt|pthread|util|resolv|anl|nss_[a-z]*|mvec|thread_db|BrokenLocale)'
  for lib in $(ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'); do
    grep -qx "${lib##*/}" "$CACHE/img/libraries" || cp -L "$lib" "$dir/"
  done
  [ -n "$newer" ] || return 0
  for lib in "$(dirname "$(ldd "$1" | sed -n 's/.*=> \(\/.*\/libc\.so\.6\) .*/\1/p')")"/*.so.*; do
    [[ ! ${lib##*/} =~ ^($newer)\.so\.[0-9]+$ ]] || cp -L "$lib" "$dir/"
  done
}
lab_newer_libc() {
  local mine theirs
  mine=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
  theirs=$(sed -n 's/^.* libc6_\([0-9.]*\).*/\1/p' "$CACHE/packages/dom0.list")
  [ "$mine" != "$theirs" ] && [ "$(printf '%s\n' "$mine" "$theirs" | sort -V | tail -n 1)" = "$mine" ]
}

# $RUN/overlay: what changes from run to run; the kernel unpacks it over the base
lab_overlay() { # SCRIPT [FILE…]
  local over=$RUN/overlay version module layer file
  version=$(cat "$CACHE/img/version")
  mkdir -p "$over/lab" "$over/usr/bin" "$over/etc/modprobe.d"
  cp "$LAB/guest/init" "$over/init"; chmod 755 "$over/init"
  cp "$LAB"/guest/*.sh "$over/lab/"
  [ $# -le 1 ] || cp -- "${@:2}" "$over/lab/"
  cp "$1" "$over/lab/script"; chmod 755 "$over/lab/script"
  cut -f1 "$RUN/devices" | grep -v '^=' >"$over/lab/devices" || true
  : >"$over/lab/env"
  for file in "${ENVS[@]}"; do printf "%s='%s'\n" "${file%%=*}" "${file#*=}" >>"$over/lab/env"; done
  [ -z "$PROGRAM" ] || lab_host_program "$PROGRAM" "$over" qubes-dom0-pci
  for file in "${TOOLS[@]}"; do lab_host_program "$file" "$over" "${file##*/}"; done
  for module in "${EXTRA_MODULES[@]}"; do
    local kernel=$CACHE/img/kernel
    lab_copy_module "$module" "$kernel" "$version" "$over"
  done
  # the package's units, started by their preset as a package's installation has it
  case " ${LAYERS[*]} " in *' systemd '*)
    mkdir -p "$over"/usr/lib/systemd/{system,system-preset}
    cp "$REPO"/packaging/systemd/*.service "$over/usr/lib/systemd/system/"
    cp "$REPO"/packaging/systemd/*.preset "$over/usr/lib/systemd/system-preset/" ;;
  esac
  cp "$CACHE/img/base.cpio" "$RUN/initrd"
  for layer in "${LAYERS[@]}"; do cat "$CACHE/layers/$layer.cpio" >>"$RUN/initrd"; done
  lab_pack "$over" >>"$RUN/initrd"
}

# disks with contents that name themselves, and an empty one for /var/lib/qubes-dom0-pci
lab_disks() {
  local kind
  for kind in nvme ahci xhci ehci sdhci; do
    { yes "LAB $kind" || true; } | head -c 1M >"$RUN/$kind.img"; truncate -s 16M "$RUN/$kind.img"
  done
  # empty ones, for --qemu-args
  for kind in first late multi; do truncate -s 32M "$RUN/$kind.img"; done
  # an expansion ROM with nothing to run, for `romfile=@DIR@/option.rom`
  { printf '\x55\xaa\x10'; yes 'LAB option rom' || true; } | head -c 8192 >"$RUN/option.rom"
  STATE=${STATE:-$RUN/state.ext4}
  [ -s "$STATE" ] || {
    truncate -s 48M "$STATE"
    mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 "$STATE"
  }
  mkfifo "$RUN/monitor.in" "$RUN/monitor.out"
}

lab_qemu_command() { # fills QEMU=()
  local args
  # Each character on the emulated serial port is paid for, and so is wiping free memory and the kernel's tests of its own
  # cryptography: what dom0's kernel says is in dmesg; `--linux-args loglevel=8` has it on the console too.
  local linux='loglevel=4 cryptomgr.notests panic=-1'
  # One vCPU and an older CPU model are the steadiest under emulation. Mitigations are off (below too): with them every system
  # call of a PV guest costs TLB flushes, which emulation pays dearly.
  QEMU=("${QEMU_SYSTEM[@]}" -accel tcg,thread=multi -cpu Nehalem -smp 1 -m "$MEMORY"
    -M q35,kernel-irqchip=split -device intel-iommu,intremap=on
    -nodefaults -display none -no-reboot -chardev "pipe,id=monitor,path=$RUN/monitor" -mon chardev=monitor,mode=readline -vga none
    -serial "file:$RUN/console.log")
  if [ -n "$INTERACTIVE" ]; then QEMU+=(-chardev stdio,id=tty,signal=off -serial chardev:tty)
  else QEMU+=(-serial "file:$RUN/out.log"); fi
  if [ -n "$BARE" ]; then
    QEMU+=(-kernel "$CACHE/img/vmlinuz" -append "console=ttyS0,115200 $linux $LINUX_ARGS" -initrd "$RUN/initrd")
  else
    # QEMU's multiboot loader: modules are parted by commas, so a comma in an argument is doubled
    QEMU+=(-kernel "$CACHE/img/xen.elf"
      -append "console=com1 com1=115200,8n1 dom0_mem=${DOM0_MEMORY}M,max:${DOM0_MEMORY}M loglvl=all guest_loglvl=all bootscrub=off spec-ctrl=no xpti=no $XEN_ARGS"
      -initrd "${CACHE//,/,,}/img/vmlinux console=hvc0 mitigations=off $linux ${LINUX_ARGS//,/,,},${RUN//,/,,}/initrd")
  fi
  QEMU+=(-drive "file=$CACHE/img/domu.ext4,if=none,id=lab-domu,format=raw,readonly=on"
    -device virtio-blk-pci,drive=lab-domu,serial=lab-domu,bus=pcie.0,addr=0x1.0,multifunction=on
    -drive "file=$STATE,if=none,id=lab-state,format=raw"
    -device virtio-blk-pci,drive=lab-state,serial=lab-state,bus=pcie.0,addr=0x1.1)
  while IFS=$'\t' read -r _ args; do
    # the table holds plain words only
    # shellcheck disable=SC2206
    QEMU+=(${args//@DIR@/$RUN})
  done <"$RUN/devices"
  # shellcheck disable=SC2206
  QEMU+=(${QEMU_ARGS//@DIR@/$RUN})
}

# Ends the QEMU of this run, and nothing else.
lab_end_qemu() {
  [ -n "${QEMU_PID:-}" ] || return 0
  kill "$QEMU_PID" 2>/dev/null || true
  local n=0
  while kill -0 "$QEMU_PID" 2>/dev/null && [ $n -lt 20 ]; do sleep 0.1; n=$((n + 1)); done
  kill -9 "$QEMU_PID" 2>/dev/null || true
  wait "$QEMU_PID" 2>/dev/null || true
  QEMU_PID=
}

# A script asks for three things by a line of output: `LAB-MONITOR COMMAND;` for QEMU's monitor; `LAB-POWER-CUT`: QEMU is killed,
# which counts as exit code 0; `LAB-LEAVE`: the machine's own end (a reboot) counts as exit code 0.
# Boots once. 0: the guest reported its exit code (in $RUN/exit); 1: it never reached init; 124: time is up; 125: it
# reached init and ended without a report.
lab_boot_once() {
  local start=$SECONDS tail_pid='' asked=0 line
  : >"$RUN/out.log"; : >"$RUN/console.log"
  "${QEMU[@]}" </dev/null >"$RUN/qemu.err" 2>&1 & QEMU_PID=$!
  # the script's lines as they come, without the ones that are for us
  tail -n +1 -s 0.2 -f --pid="$QEMU_PID" "$RUN/out.log" 2>/dev/null | sed -u '/^LAB-/d; s/\r$//' & tail_pid=$!
  # what QEMU's monitor answers goes to a file; open for both, so that neither side waits for the other
  exec 7<>"$RUN/monitor.in"
  local rc=125
  while kill -0 "$QEMU_PID" 2>/dev/null; do
    while read -r line; do asked=$((asked + 1)); printf '%s\n' "$line" >&7
    done < <(sed -n 's/\r$//; s/^LAB-MONITOR \(.*\);$/\1/p' "$RUN/out.log" | tail -n "+$((asked + 1))")
    if grep -aq '^LAB-POWER-CUT' "$RUN/out.log"; then kill -9 "$QEMU_PID"; echo 0 >"$RUN/exit"; rc=0; break; fi
    if ! grep -aq '^LAB-INIT' "$RUN/out.log" && [ $((SECONDS - start)) -ge "$INIT_TIMEOUT" ]; then rc=1; break; fi
    if [ $((SECONDS - start)) -ge "$TIMEOUT" ]; then rc=124; break; fi
    if grep -aq '^LAB-EXIT' "$RUN/out.log"; then
      # it powers itself off; if that hangs, we have what we came for
      local n=0; while kill -0 "$QEMU_PID" 2>/dev/null && [ $n -lt 30 ]; do sleep 0.1; n=$((n + 1)); done
      break
    fi
    sleep 0.2
  done
  lab_end_qemu
  wait "$tail_pid" 2>/dev/null || true
  exec 7>&-
  [ "$rc" != 0 ] || return 0
  sed -n 's/\r$//; s/^LAB-EXIT \([0-9]*\).*/\1/p' "$RUN/out.log" | tail -n 1 >"$RUN/exit"
  [ -s "$RUN/exit" ] && return 0
  ! grep -aq '^LAB-LEAVE' "$RUN/out.log" || [ "$rc" != 125 ] || { echo 0 >"$RUN/exit"; return 0; }
  [ "$rc" != 125 ] || grep -aq '^LAB-INIT' "$RUN/out.log" || rc=1
  return "$rc"
}
