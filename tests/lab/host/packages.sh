# shellcheck shell=bash
# Which packages make up the dom0, and how they get into the cache. They are downloaded and unpacked, never
# installed. Versions and library names come from apt's own lists, so that a newer Debian or Ubuntu brings its own Xen.

# What the guest runs; libraries follow from these. One per line, for the eye.
lab_wanted_packages() {
  local depends xen kernel
  depends=$(LC_ALL=C apt-cache depends xen-system-amd64 2>/dev/null) || true
  xen=$(sed -n 's/^ *Depends: \(xen-hypervisor-[0-9.]*-amd64\|xen-utils-[0-9.]*\)$/\1/p' <<<"$depends")
  [ "$(wc -l <<<"$xen")" = 2 ] || die "no Xen packages in apt's lists (run apt-get update; this lab needs Debian 12 or later, or Ubuntu)"
  kernel=$( { LC_ALL=C apt-cache depends linux-image-amd64 || LC_ALL=C apt-cache depends linux-image-generic; } 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-\(image\|modules-extra\)-[0-9].*\)$/\1/p')
  [ -n "$kernel" ] || die "no Linux kernel package in apt's lists (run apt-get update)"
  printf '%s\n' $xen $kernel xen-utils-common xenstore-utils \
    busybox-static dash bash coreutils kmod pciutils pci.ids jq \
    libgcc-s1 libzstd1 liblzma5 zlib1g
}

# The wanted packages and, step by step, the libraries they depend on. Only lib* and linux-modules* are followed: what else
# Debian wants beside xl (python, udev, init scripts) this dom0 does without.
lab_resolve_packages() {
  local -A seen=()
  local queue fresh name
  mapfile -t queue < <(lab_wanted_packages)
  [ ${#queue[@]} -gt 5 ] || exit 125
  while [ ${#queue[@]} -gt 0 ]; do
    fresh=()
    for name in "${queue[@]}"; do
      [ -n "${seen[$name]:-}" ] || { seen[$name]=1; fresh+=("$name"); }
    done
    [ ${#fresh[@]} -gt 0 ] || break
    mapfile -t queue < <(LC_ALL=C apt-cache depends "${fresh[@]}" |
      sed -n 's/^ [ |]\(Pre\)\?Depends: \(\(lib\|linux-modules-\)[^ <]*\)$/\2/p' | sort -u)
  done
  printf '%s\n' "${!seen[@]}" | sort
}

# Fills $CACHE/debs. `list` in it is written last: with it the folder is complete and no network is needed.
lab_fetch() {
  [ -f "$CACHE/debs/list" ] && return 0
  need apt-get apt; need dpkg-deb dpkg
  rm -rf "$CACHE/debs.new"; mkdir -p "$CACHE/debs.new"
  lab_resolve_packages >"$CACHE/debs.new/names"
  say "downloading $(wc -l <"$CACHE/debs.new/names") packages for the guest (once, about 120 MB; nothing is installed)"
  local -a names sandbox=()
  mapfile -t names <"$CACHE/debs.new/names"
  # as root, apt would drop to a user that may not be able to write here
  [ "$(id -u)" != 0 ] || sandbox=(-o APT::Sandbox::User=root)
  (cd "$CACHE/debs.new" && apt-get "${sandbox[@]}" -q download "${names[@]}" >apt.log 2>&1) || {
    tail -n 5 "$CACHE/debs.new/apt.log" >&2
    die "apt-get download failed (apt-get update, then again)"; }
  (cd "$CACHE/debs.new" && sha256sum ./*.deb >list)
  rm -rf "$CACHE/debs"; mv "$CACHE/debs.new" "$CACHE/debs"
}
