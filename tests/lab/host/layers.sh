# shellcheck shell=bash
# What a dom0 may have besides its base, each an archive that the kernel unpacks over it: libvirt, hvm (Debian's QEMU for Xen),
# stub-domain (that QEMU in a Linux domain of its own), systemd (with udev, LVM, mdadm, driverctl). `tests/lab/run --with A,B`.

# lab_layers: all of LAYERS (a stub domain takes hvm along), and what they ask of the machine
lab_layers() {
  local layer names=" ${LAYERS[*]} "
  [[ $names != *' stub-domain '* || $names == *' hvm '* ]] || names=" hvm$names"
  read -ra LAYERS <<<"$names"
  for layer in "${LAYERS[@]}"; do
    lab_layer "$layer"
    case $layer in
      # an AMD processor is the one on which QEMU's emulation lets Xen run HVM guests; DMA is still kept apart by VT-d, whose page tables
      # cannot be shared with it
      hvm) QEMU_ARGS=" -cpu qemu64,+svm,+npt$QEMU_ARGS"; XEN_ARGS=" iommu=no-sharept$XEN_ARGS"; [ "$MEMORY" -ge 3072 ] || MEMORY=3072 ;;
      systemd) [ -n "$DOM0_MEMORY" ] || DOM0_MEMORY=1536; [ "$MEMORY" -ge 3072 ] || MEMORY=3072 ;;
    esac
  done
  DOM0_MEMORY=${DOM0_MEMORY:-1024}
}

# lab_layer NAME: $CACHE/layers/NAME.cpio is as its packages and this file have it. After lab_image.
lab_layer() {
  local name=$1 stamp before=dom0
  mkdir -p "$CACHE/layers"
  case $name in
    libvirt|hvm|systemd) ;;
    stub-domain) lab_layer hvm; before='' ;;
    *) die "no layer $name: libvirt, hvm, stub-domain, systemd" ;;
  esac
  (
    flock 9
    [ -z "$before" ] || lab_fetch "$DEBIAN" "$name" "$before"
    stamp=$(cat "$CACHE/img/stamp" "$LAB/host/layers.sh" "$CACHE/packages/$name.list" $([ "$name" != stub-domain ] || echo "$CACHE/layers/hvm.stamp" "$LAB/guest/stub-init") 2>/dev/null | sha256sum)
    [ "$(cat "$CACHE/layers/$name.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
    say "building the layer $name (Debian $DEBIAN)"
    rm -rf "$CACHE/work"; mkdir -p "$CACHE/work/root"
    # the files it brings, and nothing that the base made a link of
    [ -z "$before" ] || lab_unpack "$DEBIAN" "$name" "$CACHE/work/root"
    "lab_layer_${name//-/_}" "$CACHE/work/root"
    rm -f "$CACHE/work/root"/{bin,sbin,lib,lib64}
    lab_pack "$CACHE/work/root" >"$CACHE/layers/$name.new"
    mv "$CACHE/layers/$name.new" "$CACHE/layers/$name.cpio"
    rm -rf "$CACHE/work"
    echo "$stamp" >"$CACHE/layers/$name.stamp"
  ) 9>"$CACHES/lock" || exit 125
}

# The real libvirtd, started by hand or by systemd: no polkit; what it has to say goes to a file too.
lab_layer_libvirt() {
  local root=$1
  rm -rf "$root"/etc/{init.d,apparmor.d,logrotate.d} "$root"/var
  cat >"$root/etc/libvirt/libvirtd.conf" <<'END'
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
END
  # Xen hides `sep` on an AMD processor, and this is the model that libvirt then cannot find
  sed -i "/feature name='sep'/d" "$root/usr/share/libvirt/cpu_map/x86_qemu64.xml"
}

# QEMU for Xen: SeaBIOS, the option ROMs that a direct kernel boot takes, hvmloader (the base throws Xen's boot folder away) and
# the kernel as a bzImage (QEMU loads no other with an initramfs).
lab_layer_hvm() {
  local root=$1 deb keep=$1.keep
  mkdir -p "$keep"/usr/share/qemu/keymaps
  # its VNC server, which libxl always asks for, does not start without a keyboard
  cp "$root/usr/share/qemu/keymaps/en-us" "$keep/usr/share/qemu/keymaps/"
  cp "$root"/usr/share/qemu/linuxboot*.bin "$root"/usr/share/qemu/{pvh,kvmvapic}.bin "$keep/usr/share/qemu/"
  rm -rf "$root/usr/share/qemu"; mv "$keep/usr/share/qemu" "$root/usr/share/qemu"
  rm -rf "$root"/var "$root"/usr/lib/x86_64-linux-gnu/gstreamer-1.0 "$keep"
  deb=$(sed -n 's/^[^ ]* [ *]//p' "$CACHE/packages/dom0.list" | grep '^xen-utils-[0-9]')
  dpkg-deb --fsys-tarfile "$CACHE/pool/$deb" | tar -x -C "$root" --keep-directory-symlink --no-same-owner --wildcards './usr/lib/xen-*/boot/hvmloader'
  mkdir -p "$root/usr/share/lab"; cp "$CACHE/img/vmlinuz" "$root/usr/share/lab/vmlinuz"
}

# A stub domain's initramfs: busybox, QEMU, the proxy for its monitor, what they are linked with, and the guest's own kernel and
# initramfs (`-kernel` names files of the domain that QEMU runs in). libxl gives it 30 s to start: it is kept small.
lab_layer_stub_domain() {
  local root=$1 all=$1.all stub=$1.stub version lib=usr/lib/x86_64-linux-gnu xen file name
  version=$(cat "$CACHE/img/version")
  mkdir -p "$all" "$stub"/{proc,sys,dev,tmp,run,root,mnt/domu,etc,usr/{bin,sbin,lib,lib64,libexec,share/lab,lib/modules/"$version"}} "$stub/$lib"
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$stub/$name"; done
  (cd "$all" && cpio -idm --quiet <"$CACHE/img/base.cpio" && cpio -idmu --quiet <"$CACHE/layers/hvm.cpio")
  xen=$(cd "$all/usr/lib" && echo xen-[0-9]*)
  lab_take() { # FILE PLACE: a program of dom0 and its libraries
    cp -L "$all/$1" "$stub/$2"
    for file in $("$all/$lib/ld-linux-x86-64.so.2" --library-path "$all/$lib" --list "$all/$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'); do
      [ -e "$stub/$lib/${file##*/}" ] || cp -L "$file" "$stub/$lib/"
    done
  }
  cp "$all/usr/bin/busybox" "$stub/usr/bin/"
  cp -L "$all/$lib/ld-linux-x86-64.so.2" "$stub/usr/lib64/"
  lab_take usr/libexec/xen-qemu-system-i386 usr/libexec/
  lab_take "usr/lib/$xen/bin/vchan-socket-proxy" usr/bin/
  for name in read list ls write; do lab_take "usr/bin/xenstore-$name" usr/bin/; done
  cp -r "$all/usr/share/qemu" "$stub/usr/share/"
  cp "$CACHE/img/vmlinuz" "$stub/usr/share/lab/"
  debugfs -R "dump /initrd $stub/mnt/domu/initrd" "$CACHE/img/domu.ext4" 2>/dev/null
  cp "$CACHE/img/kernel/usr/lib/modules/$version"/modules.{dep,alias,softdep,builtin,order} "$stub/usr/lib/modules/$version/"
  for name in xen-pcifront xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc; do lab_copy_module $name "$CACHE/img/kernel" "$version" "$stub"; done
  lab_plain_modules "$stub" "$version"
  cp "$LAB/guest/stub-init" "$stub/init"; chmod 755 "$stub/init"
  mkdir -p "$root"/usr/{share/lab,bin}
  # not compressed: unpacking it is what its start would wait for
  lab_pack "$stub" >"$root/usr/share/lab/stub"
  # libxl looks for the proxy there; Debian has it in Xen's own folder
  ln -sfn "../lib/$xen/bin/vchan-socket-proxy" "$root/usr/bin/vchan-socket-proxy"
}

# Debian's systemd with udev, LVM, mdadm and driverctl, and units in the place of Debian's init scripts for Xen, named as Qubes
# (and Fedora) name them, for the package's own units are ordered by these names.
lab_layer_systemd() {
  local root=$1 units=$1/etc/systemd/system unit
  rm -rf "$root"/var "$root"/etc/init.d "$root"/usr/lib/systemd/system/{getty.target.wants,sysinit.target.wants/systemd-{firstboot,hwdb-update}.service}
  mkdir -p "$units" "$root"/etc/{modules-load.d,dbus-1,systemd/system.conf.d} "$root"/var/lib/dbus
  # each character on the console is paid for
  printf '[Manager]\nShowStatus=no\n' >"$root/etc/systemd/system.conf.d/lab.conf"
  : >"$root/etc/machine-id"
  printf '%s\n' xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc >"$root/etc/modules-load.d/xen.conf"
  printf '%s\n' root:x:0:0:root:/root:/bin/bash messagebus:x:101:101::/nonexistent:/bin/false nobody:x:65534:65534::/nonexistent:/bin/false >"$root/etc/passwd"
  awk 'BEGIN { n = split("root:0 messagebus:101 nogroup:65534 tty:5 disk:6 lp:7 dialout:20 cdrom:24 floppy:25 tape:26 audio:29 kmem:15 video:44 input:102 sgx:103 kvm:104 render:105 plugdev:46 systemd-journal:106 utmp:43 adm:4 shadow:42", g)
    for (i = 1; i <= n; i++) { split(g[i], p, ":"); print p[1] ":x:" p[2] ":" } }' >"$root/etc/group"
  printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' >"$root/etc/nsswitch.conf"
  ln -sfn /usr/lib/systemd/system/multi-user.target "$units/default.target"
  # nobody logs in, nothing is set up for the first time, and the clock is QEMU's
  for unit in getty.target serial-getty@.service systemd-logind.service systemd-firstboot.service systemd-hwdb-update.service \
    systemd-sysusers.service systemd-update-done.service systemd-machine-id-commit.service systemd-pcrphase.service \
    systemd-networkd.service systemd-network-generator.service ldconfig.service systemd-journal-catalog-update.service \
    lvm2-monitor.service mdmonitor.service mdcheck_start.timer mdcheck_continue.timer mdmonitor-oneshot.timer \
    e2scrub_reap.service e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer; do ln -sfn /dev/null "$units/$unit"; done
  cat >"$units/proc-xen.mount" <<'END'
[Unit]
Description=Xen's files
ConditionPathExists=/proc/xen
After=systemd-modules-load.service
[Mount]
What=xenfs
Where=/proc/xen
Type=xenfs
END
  lab_xen_unit xenstored 'systemd-modules-load.service proc-xen.mount' <<'END'
RequiresMountsFor=/proc/xen
[Service]
Type=forking
PIDFile=/run/xen/xenstored.pid
ExecStartPre=/bin/mkdir -p /run/xen /var/lib/xenstored
ExecStart=/usr/sbin/xenstored --pid-file /run/xen/xenstored.pid
END
  lab_xen_unit xen-init-dom0 xenstored.service <<'END'
Requires=xenstored.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/xen-init-dom0
END
  lab_xen_unit xenconsoled xen-init-dom0.service <<'END'
Requires=xenstored.service
[Service]
Type=simple
ExecStartPre=/bin/mkdir -p /var/log/xen/console
ExecStart=/usr/sbin/xenconsoled -i --log=all --log-dir=/var/log/xen/console
END
  cat >"$units/lab.service" <<'END'
[Unit]
Description=The script of this boot
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
EnvironmentFile=/lab/env
Environment=HOME=/root
ExecStart=/bin/sh /lab/under-systemd.sh
END
  mkdir -p "$units/lab.target.wants"
  cat >"$units/lab.target" <<'END'
[Unit]
Description=The lab
Requires=multi-user.target
After=multi-user.target
Wants=lab.service
END
  ln -sfn lab.target "$units/default.target"
}
lab_xen_unit() { # NAME AFTER; the rest is standard input
  mkdir -p "$units/multi-user.target.wants"
  { printf '[Unit]\nDescription=%s\nConditionPathExists=/proc/xen/capabilities\nAfter=%s\n' "$1" "$2"; cat; } >"$units/$1.service"
  sed -i '/^ConditionPathExists/d' "$units/$1.service"
  ln -sfn "../$1.service" "$units/multi-user.target.wants/$1.service"
}
