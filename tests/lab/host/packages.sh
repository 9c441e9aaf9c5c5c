# shellcheck shell=bash
# Which packages make up the dom0, and how they get into the cache. They are downloaded and unpacked, never
# installed. What this machine itself runs does not matter: each Debian has an apt configuration and lists of its own, and
# versions and library names come from there.

# ---- apt, for a Debian that need not be this machine's

# The mirror this machine uses for Debian, or the one it is given.
lab_mirror() {
  local mirror=${QUBES_DOM0_PCI_MIRROR:-}
  # shellcheck disable=SC2016
  [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 ~ /^(bookworm|trixie|forky|stable|testing|sid|unstable)$/ && $3 == "main" { print $1; exit }')
  [ -n "$mirror" ] || die "apt here has no Debian mirror: set QUBES_DOM0_PCI_MIRROR to the address of one"
  echo "$mirror"
}

# lab_apt_ready NUMBER: configuration and package lists of that Debian, fetched the first time
lab_apt_ready() {
  local dir=$CACHES/debian-$1/apt keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  # a cache that was moved names places that are gone
  ! { [ -f "$dir/ready" ] && grep -qsF "\"$dir/status\"" "$dir/conf"; } || return 0
  need apt-get apt
  [ -f "$keys" ] || die "$keys is missing (apt-get install debian-archive-keyring)"
  mirror=$(lab_mirror) || exit 125
  mkdir -p "$dir"/{lists,cache/archives}/partial
  : >"$dir/status"
  # What is installed, pinned and preferred here says nothing about dom0. As root, apt would drop to a user that may not be
  # able to write here.
  cat >"$dir/conf" <<END
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Acquire::Languages "none";
APT::Default-Release "";
APT::Architecture "amd64";
APT::Sandbox::User "root";
END
  echo "deb [arch=amd64 signed-by=$keys] $mirror $(lab_codename "$1") main" >"$dir/sources.list"
  # apt ends well where a list did not come
  if ! apt-get -c "$dir/conf" -q update >"$dir/log" 2>&1 || grep -q '^[WE]:' "$dir/log"; then
    grep '^[WE]:' "$dir/log" >&2; die "the package lists of Debian $1 did not come"
  fi
  : >"$dir/ready"
}
lab_apt() { # NUMBER get|cache WORD…
  LC_ALL=C "apt-$2" -c "$CACHES/debian-$1/apt/conf" -q "${@:3}"
}

# ---- what a layer is made of

# What is wanted of LAYER in Debian NUMBER, one package a line; libraries follow from these.
lab_wanted_packages() {
  local depends xen kernel
  case $2 in
    dom0)
      depends=$(lab_apt "$1" cache depends xen-system-amd64 2>/dev/null) || true
      xen=$(sed -n 's/^ *Depends: \(xen-hypervisor-[0-9.]*-amd64\|xen-utils-[0-9.]*\)$/\1/p' <<<"$depends")
      [ "$(wc -l <<<"$xen")" = 2 ] || die "no Xen packages in the lists of Debian $1"
      kernel=$(lab_apt "$1" cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p')
      [ -n "$kernel" ] || die "no Linux kernel in the lists of Debian $1"
      printf '%s\n' $xen "$kernel" xen-utils-common xenstore-utils \
        busybox-static dash bash coreutils kmod pciutils pci.ids jq \
        libgcc-s1 libzstd1 liblzma5 zlib1g ;;
    libvirt)
      printf '%s\n' libvirt-daemon libvirt-daemon-driver-xen libvirt-clients dmidecode
      # its own package since Debian 13, as is what all of libvirt's daemons share
      [ "$1" -lt 13 ] || printf '%s\n' libvirt-daemon-driver-nodedev libvirt-daemon-common libvirt-common ;;
    hvm) printf '%s\n' qemu-system-xen qemu-system-data seabios libfdt1 ;;
    systemd)
      printf '%s\n' systemd systemd-sysv udev dbus dbus-daemon dbus-bin dbus-system-bus-common util-linux mount lvm2 dmsetup mdadm driverctl \
        findutils grep sed gawk e2fsprogs fdisk procps tar ;;
    boot)
      printf '%s\n' grub-common grub2-common gettext-base dracut-core cpio patch findutils grep sed gawk util-linux mount e2fsprogs ;;
    qemu) printf '%s\n' qemu-system-x86 qemu-system-data seabios libc6 ;;
    *) die "no layer $2" ;;
  esac
}

# The wanted packages and, step by step, the libraries they depend on. Only lib* is followed: what else Debian wants beside xl
# (python, udev, init scripts) this dom0 does without. What the layers before have is left out.
lab_resolve_packages() { # NUMBER LAYER [LAYER-BEFORE…]
  local -A seen=()
  local debian=$1 queue fresh name layer wanted=()
  for layer in "${@:3}"; do
    while read -r name; do seen[$name]=before; done <"$CACHES/debian-$debian/packages/$layer.names"
  done
  mapfile -t queue < <(lab_wanted_packages "$debian" "$2")
  [ ${#queue[@]} -gt 0 ] || exit 125
  while [ ${#queue[@]} -gt 0 ]; do
    fresh=()
    for name in "${queue[@]}"; do
      [ -n "${seen[$name]:-}" ] || { seen[$name]=1; fresh+=("$name"); }
    done
    [ ${#fresh[@]} -gt 0 ] || break
    wanted+=("${fresh[@]}")
    mapfile -t queue < <(lab_apt "$debian" cache depends "${fresh[@]}" |
      sed -n 's/^ [ |]\(Pre\)\?Depends: \(lib[^ <]*\)$/\2/p' | grep -v '^libvirt-daemon' | sort -u)
  done
  printf '%s\n' "${wanted[@]}" | sort
}

# lab_fetch NUMBER LAYER [LAYER-BEFORE…]: the layer's packages are in the pool and named in packages/LAYER.list; with that and
# packages/LAYER.of, which says what was wanted and is written last, no network is needed.
lab_fetch() {
  local dir=$CACHES/debian-$1 layer=$2 name names missing=() of
  of=$(declare -f lab_wanted_packages lab_resolve_packages | sha256sum)
  [ "$(cat "$dir/packages/$layer.of" 2>/dev/null)" != "$of" ] || return 0
  need dpkg-deb dpkg
  lab_apt_ready "$1"
  mkdir -p "$dir/packages" "$dir/pool"
  lab_resolve_packages "$@" >"$dir/packages/$layer.names"
  mapfile -t names <"$dir/packages/$layer.names"
  for name in "${names[@]}"; do compgen -G "$dir/pool/${name}_*.deb" >/dev/null || missing+=("$name"); done
  if [ ${#missing[@]} -gt 0 ]; then
    say "downloading ${#missing[@]} packages of Debian $1 ($layer; once, nothing is installed)"
    rm -rf "$dir/pool.new"; mkdir -p "$dir/pool.new"
    (cd "$dir/pool.new" && lab_apt "$1" get download "${missing[@]}" >"$dir/packages/log" 2>&1) || {
      tail -n 5 "$dir/packages/log" >&2; die "apt-get download failed"; }
    mv "$dir/pool.new"/*.deb "$dir/pool/"; rm -rf "$dir/pool.new"
  fi
  (cd "$dir/pool" && for name in "${names[@]}"; do sha256sum "${name}"_*.deb; done >"$dir/packages/$layer.list.new")
  mv "$dir/packages/$layer.list.new" "$dir/packages/$layer.list"
  echo "$of" >"$dir/packages/$layer.of"
}

# lab_unpack NUMBER LAYER INTO [PATTERN]: its packages (those whose name matches), one tree whose /bin, /sbin, /lib are links into /usr
lab_unpack() {
  local dir=$CACHES/debian-$1 into=$3 name place
  mkdir -p "$into"/usr/{bin,sbin,lib,lib64}
  for place in bin sbin lib lib64; do [ -e "$into/$place" ] || ln -s "usr/$place" "$into/$place"; done
  while read -r _ name; do
    # shellcheck disable=SC2053
    [[ ${name%%_*} == ${4:-*} ]] || continue
    dpkg-deb --fsys-tarfile "$dir/pool/$name" | tar -x -C "$into" --keep-directory-symlink --no-same-owner \
      --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude='*/gconv' \
      --exclude=./usr/share/bash-completion --exclude=./usr/share/info --exclude=./usr/share/augeas
  done <"$dir/packages/$2.list"
}

# ---- a QEMU for machines whose own is too old

# Debian 13's, unpacked: QEMU_SYSTEM runs it with its own libraries.
lab_qemu_unpacked() {
  local tree=$CACHES/debian-13/qemu
  (
    flock 9
    [ ! -f "$tree/ready" ] || exit 0
    lab_fetch 13 qemu
    rm -rf "$tree"; lab_unpack 13 qemu "$tree"
    : >"$tree/ready"
  ) 9>"$CACHES/lock" || exit 125
  export QEMU_MODULE_DIR=$tree/usr/lib/x86_64-linux-gnu/qemu
  QEMU_SYSTEM=("$tree/usr/lib64/ld-linux-x86-64.so.2" --library-path "$tree/usr/lib/x86_64-linux-gnu" "$tree/usr/bin/qemu-system-x86_64"
    -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios")
}

# ---- dracut's option reader and lspci, for tests that need no lab

# Debian 13's, unpacked: `getarg` and `lspci` of tests/next-boot/compare run them with their own libraries.
lab_boot_tools() {
  BOOT_TOOLS=$CACHES/debian-13/boot-tools
  (
    flock 9
    [ ! -f "$BOOT_TOOLS/ready" ] || exit 0
    lab_fetch 13 dom0
    lab_fetch 13 boot dom0
    rm -rf "$BOOT_TOOLS"
    lab_unpack 13 dom0 "$BOOT_TOOLS" '@(pciutils|pci.ids|libpci3|libc6|libkmod2|zlib1g|libzstd1|liblzma5|libssl*)'
    lab_unpack 13 boot "$BOOT_TOOLS" dracut-core
    : >"$BOOT_TOOLS/ready"
  ) 9>"$CACHES/lock" || exit 125
}
