# shellcheck shell=bash
# Paths and small words that every host-side part of the lab uses. Sourced, never run.

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO=$(cd "$LAB/../.." && pwd)
CACHE=${QUBES_DOM0_PCI_CACHE:-$LAB/cache}
# the Debian names of programs in /sbin are not in every user's PATH (mkfs.ext4)
PATH=$PATH:/usr/sbin:/sbin

# 125 is "the lab itself failed", apart from whatever a guest script returns.
die() { echo "lab: $*" >&2; exit 125; }
say() { echo "lab: $*" >&2; }

need() { # need COMMAND PACKAGE: the command, or say which package has it
  command -v "$1" >/dev/null || die "$1 is missing (on Debian and Ubuntu: apt-get install $2)"
}
