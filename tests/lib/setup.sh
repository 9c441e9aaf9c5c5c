# shellcheck shell=bash
# What tests/try and tests/all need on this machine: installs it on Debian (12 and later) and Ubuntu, and says precisely
# what is missing elsewhere. Sourced after `cd` to the repository's root.

RUST_NEEDED=1.85

say() { printf '%s\n' "$*"; }

# command -> package: what the build and the lab run. Libraries are asked for by their package.
setup_missing() {
  local pair
  for pair in qemu-system-x86_64=qemu-system-x86 cpio=cpio xz=xz-utils gcc=gcc pkg-config=pkg-config flock=util-linux jq=jq strace=strace; do
    command -v "${pair%%=*}" >/dev/null || echo "${pair#*=}"
  done
  [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
  [ -x /usr/sbin/mkfs.ext4 ] || command -v mkfs.ext4 >/dev/null || echo e2fsprogs
  for pair in libc6-dev libkmod-dev libclang-dev; do
    dpkg-query -W -f '${Status}' "$pair" 2>/dev/null | grep -q 'ok installed' || echo "$pair"
  done
}

rust_is_new_enough() {
  local have
  have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || return 1
  command -v cargo >/dev/null && [ -n "$have" ] && [ "$(printf '%s\n' "$RUST_NEEDED" "$have" | sort -V | head -n 1)" = "$RUST_NEEDED" ]
}

# the first packaged toolchain that is new enough: Debian 13's own, Debian 12's -web, Ubuntu's versioned ones
setup_rust_packages() {
  local pair version
  for pair in 'rustc cargo' 'rustc-web cargo-web' 'rustc-1.85 cargo-1.85' 'rustc-1.89 cargo-1.89'; do
    version=$(apt-cache policy "${pair% *}" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    if [ -n "$version" ] && [ "$(printf '%s\n' "$RUST_NEEDED" "$version" | sort -V | head -n 1)" = "$RUST_NEEDED" ]; then
      echo "$pair"; return 0
    fi
  done
  return 1
}

setup_as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo -n "$@" || sudo "$@"; else return 1; fi
}

setup() {
  local missing=() rust lists=1
  if ! command -v apt-get >/dev/null; then
    # the lab's dom0 is made of Debian packages: without apt there is no lab
    say "This needs apt (Debian 12 or later, Ubuntu): the lab's dom0 is made of Debian packages. A Debian container will do:"
    say "    podman run --rm -it -v \"\$PWD\":/src -w /src debian:bookworm bash"
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  mapfile -t missing < <(setup_missing)
  rust_is_new_enough || lists=0
  if [ ${#missing[@]} -gt 0 ] || [ $lists = 0 ]; then
    setup_as_root apt-get -q update >/dev/null || { say "cannot run apt-get update (not root, and no sudo)"; exit 1; }
  fi
  if ! rust_is_new_enough; then
    rust=$(setup_rust_packages) || { say "no Rust of at least $RUST_NEEDED here or in apt; install one, then again"; exit 1; }
    # shellcheck disable=SC2206
    missing+=($rust)
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing: ${missing[*]}"
  setup_as_root apt-get -q -y --no-install-recommends install "${missing[@]}" >/tmp/qubes-dom0-pci-setup.$$ 2>&1 || {
    tail -n 5 "/tmp/qubes-dom0-pci-setup.$$"; rm -f "/tmp/qubes-dom0-pci-setup.$$"
    say "Could not install. Missing: ${missing[*]}"; exit 1; }
  rm -f "/tmp/qubes-dom0-pci-setup.$$"
  # Ubuntu's versioned toolchains have versioned names
  if ! rust_is_new_enough; then
    local bin=/usr/lib/rust-${rust##*-}/bin
    [ -d "$bin" ] && PATH=$bin:$PATH
    rust_is_new_enough || { say "Rust $RUST_NEEDED or later is still missing"; exit 1; }
  fi
}
