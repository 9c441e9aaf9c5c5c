# shellcheck shell=bash
# Paths and small words that every host-side part of the lab uses. Sourced, never run.

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO=$(cd "$LAB/../.." && pwd)
# each Debian has a folder of its own below it
CACHES=${QUBES_DOM0_PCI_CACHE:-$LAB/cache}
# the Debian names of programs in /sbin are not in every user's PATH (mkfs.ext4)
PATH=$PATH:/usr/sbin:/sbin

# 125 is "the lab itself failed", apart from whatever a guest script returns.
die() { echo "lab: $*" >&2; exit 125; }
say() { echo "lab: $*" >&2; }

need() { # need COMMAND PACKAGE: the command, or say which package has it
  command -v "$1" >/dev/null || die "$1 is missing (on Debian and Ubuntu: apt-get install $2)"
}

# lab_debian NUMBER: dom0 is made of this Debian: DEBIAN is its number, CACHE its folder
lab_debian() {
  DEBIAN=$1
  lab_codename "$DEBIAN" >/dev/null
  CACHE=$CACHES/debian-$DEBIAN
}
lab_codename() {
  case $1 in
    12) echo bookworm ;;
    13) echo trixie ;;
    *) die "the lab knows Debian 12 and 13, not '$1'" ;;
  esac
}
# Debian 13: Xen 4.20, Linux 6.12. Debian 12: Xen 4.17, Linux 6.1.
lab_debian "${LAB_DEBIAN:-13}"
