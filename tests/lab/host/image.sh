# shellcheck shell=bash
# From the downloaded packages: Xen, the kernel, dom0's initramfs and the qube's disk, all in $CACHE/img.
# Needs packages.sh.

# Everything is rebuilt when what it is made of changed; init, lib.sh and the scripts are not part of it (boot.sh adds them).
lab_image_stamp() {
  cat "$CACHE/packages/dom0.list" "$LAB"/host/{image.sh,modules} "$LAB"/guest/domu-init | sha256sum
}

lab_image() {
  local stamp
  need flock util-linux; need cpio cpio; need mkfs.ext4 e2fsprogs
  mkdir -p "$CACHE"
  (
    # two labs may start at once: one builds, the other waits
    flock 9
    lab_fetch "$DEBIAN" dom0
    stamp=$(lab_image_stamp)
    [ "$(cat "$CACHE/img/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
    say "building dom0's file system (Debian $DEBIAN)"
    rm -rf "$CACHE/work" "$CACHE/img.new"; mkdir -p "$CACHE/work" "$CACHE/img.new"
    # kernel and hypervisor apart
    lab_unpack "$DEBIAN" dom0 "$CACHE/work/kernel" 'linux-*'
    lab_unpack "$DEBIAN" dom0 "$CACHE/work/xen" 'xen-hypervisor-*'
    lab_unpack "$DEBIAN" dom0 "$CACHE/work/root" '!(linux-*|xen-hypervisor-*)'
    lab_kernel "$CACHE/work" "$CACHE/img.new"
    lab_dom0_tree "$CACHE/work"
    lab_domu "$CACHE/work" "$CACHE/img.new"
    lab_pack "$CACHE/work/root" >"$CACHE/img.new/base.cpio"
    ls "$CACHE/work/root/usr/lib/x86_64-linux-gnu" >"$CACHE/img.new/libraries"
    # for `run --module`: all modules of the kernel
    mv "$CACHE/work/kernel" "$CACHE/img.new/kernel"
    echo "$stamp" >"$CACHE/img.new/stamp"
    # a lab that is running keeps the files it has open
    rm -rf "$CACHE/img.old"; [ ! -d "$CACHE/img" ] || mv "$CACHE/img" "$CACHE/img.old"
    mv "$CACHE/img.new" "$CACHE/img"; rm -rf "$CACHE/img.old" "$CACHE/work"
  ) 9>"$CACHES/lock"
}

lab_pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0); }

# Xen as the multiboot ELF that QEMU loads, the kernel unpacked (Xen and libxc would do it themselves, slowly under emulation)
lab_kernel() {
  local work=$1 img=$2 version
  version=$(ls "$work/kernel/usr/lib/modules")
  echo "$version" >"$img/version"
  cp "$work/kernel/boot/vmlinuz-$version" "$img/vmlinuz"
  lab_unpack_bzimage "$img/vmlinuz" >"$img/vmlinux" || { say "kernel left packed (slower)"; cp "$img/vmlinuz" "$img/vmlinux"; }
  gunzip -c "$work"/xen/boot/xen-[0-9]*-amd64.gz >"$img/xen.elf"
  # the modules' index is made by the guest's own depmod, for the whole kernel
  local lib="$work/root/usr/lib/x86_64-linux-gnu"
  [ -e "$work/root/usr/sbin/depmod" ] || [ -L "$work/root/usr/sbin/depmod" ] || ln -s ../bin/kmod "$work/root/usr/sbin/depmod"
  "$lib/ld-linux-x86-64.so.2" --library-path "$lib" --argv0 depmod "$work/root/usr/bin/kmod" -b "$work/kernel" "$version"
}

# The payload of a bzImage: found by its magic, proven by the ELF header it unpacks to.
lab_unpack_bzimage() {
  local image=$1 magic tool offset out
  out=$(mktemp "$CACHE/work/vmlinux.XXXXXX")
  while read -r magic tool; do
    command -v "${tool%% *}" >/dev/null || continue
    for offset in $(LC_ALL=C grep -abo -P "$magic" "$image" | head -n 4 | cut -d: -f1); do
      # trailing bytes behind the payload make the tools complain; the header tells
      # shellcheck disable=SC2086
      tail -c +$((offset + 1)) "$image" | $tool >"$out" 2>/dev/null || true
      if [ "$(head -c 4 "$out" | tail -c 3)" = ELF ]; then cat "$out"; rm -f "$out"; return 0; fi
    done
  done <<'END'
\xfd7zXZ\x00 xz -dcq --single-stream
\x28\xb5\x2f\xfd zstd -dcq
\x1f\x8b\x08 gzip -dcq
\x02\x21\x4c\x18 lz4 -dcq
END
  rm -f "$out"; return 1
}

# one module and what it needs, by modules.dep; a module that this kernel has built in or lacks is no error
lab_copy_module() { # NAME KERNEL-TREE VERSION INTO
  local want=${1//-/_} from=$2/usr/lib/modules/$3 to=$4/usr/lib/modules/$3 line file
  line=$(awk -F: -v n="$want" '{ b = $1; sub(/.*\//, "", b); sub(/\.ko.*$/, "", b); gsub(/-/, "_", b) } b == n { print; exit }' "$from/modules.dep")
  for file in ${line/:/}; do
    [ -e "$to/$file" ] && continue
    mkdir -p "$to/${file%/*}"; cp "$from/$file" "$to/$file"
  done
}

lab_dom0_tree() {
  local work=$1 root=$1/root version name dir
  version=$(ls "$work/kernel/usr/lib/modules")
  mkdir -p "$root/usr/lib/modules/$version"
  cp "$work/kernel/usr/lib/modules/$version"/modules.* "$root/usr/lib/modules/$version/"
  while read -r name _; do lab_copy_module "$name" "$work/kernel" "$version" "$root"; done < <(grep -v '^#' "$LAB/host/modules")
  # xl and its kin live in a folder named after the version; Debian reaches them through wrappers that this dom0 does not need
  dir=$(cd "$root/usr/lib" && echo xen-[0-9]*)
  ln -sfn "$dir" "$root/usr/lib/xen"
  for name in xl xenstored xenconsoled xen-init-dom0 xenconsole; do
    rm -f "$root/usr/sbin/$name" "$root/usr/bin/$name"
    ln -s "../lib/$dir/bin/$name" "$root/usr/sbin/$name"
  done
  rm -rf "$root"/usr/lib/{xen-common,systemd,udev,sysctl.d,tmpfiles.d} "$root/usr/lib/$dir"/{boot,lib} \
    "$root"/usr/lib/x86_64-linux-gnu/{engines-3,ossl-modules,audit,perl-base}
  # busybox fills in for everything else
  for name in $("$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$name" ] || [ -e "$root/usr/sbin/$name" ] || ln -s busybox "$root/usr/bin/$name"
  done
  # dash, not busybox: busybox's shell would run its own modprobe, which knows no -R
  ln -sf dash "$root/usr/bin/sh"
  mkdir -p "$root"/{proc,sys,dev,tmp,lab,root,run/lock,var/lib/{xen,xenstored,qubes},var/log/xen,etc/{xen,modprobe.d}} "$root/mnt/domu"
  rm -rf "$root/var/run" "$root/var/lock"; ln -s /run "$root/var/run"; ln -s /run/lock "$root/var/lock"
  rm -rf "$root"/etc/xen/*; : >"$root/etc/xen/xl.conf"
  echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"; echo 'root:x:0:' >"$root/etc/group"
}

# busybox modprobe, in the qube, reads plain modules only
lab_plain_modules() { # TREE VERSION
  find "$1" -name '*.ko.xz' -exec xz -d {} + ; find "$1" -name '*.ko.zst' -exec zstd -dq --rm {} +
  sed -i 's/\.ko\.\(xz\|zst\)/.ko/g' "$1/usr/lib/modules/$2/modules.dep"
}

# the qube: kernel and initramfs on a read-only disk of dom0's
lab_domu() {
  local work=$1 img=$2 domu=$1/domu version name where
  version=$(ls "$work/kernel/usr/lib/modules")
  mkdir -p "$domu"/{proc,sys,dev,usr/bin,usr/lib/modules/"$version"} "$work/disk"
  ln -s usr/bin "$domu/bin"; ln -s usr/lib "$domu/lib"
  cp "$work/root/usr/bin/busybox" "$domu/usr/bin/"
  cp "$work/kernel/usr/lib/modules/$version"/modules.{dep,alias,softdep,builtin,order} "$domu/usr/lib/modules/$version/"
  while read -r name where; do
    if [ "$where" = domU ]; then lab_copy_module "$name" "$work/kernel" "$version" "$domu"; fi
  done < <(grep -v '^#' "$LAB/host/modules")
  cp "$LAB/guest/domu-init" "$domu/init"; chmod +x "$domu/init"
  lab_plain_modules "$domu" "$version"
  lab_pack "$domu" | gzip -6 >"$work/disk/initrd"
  cp "$img/vmlinux" "$work/disk/vmlinux"
  truncate -s "$(($(du -sm "$work/disk" | cut -f1) + 16))M" "$img/domu.ext4"
  mkfs.ext4 -q -F -O ^has_journal -d "$work/disk" "$img/domu.ext4"
}
