#!/bin/bash
# What tests/lab/shell runs in dom0: devices that a qube has used, a greeting, a prompt.
. /lab/lib.sh
say() { printf '\r\033[K%s' "$*"; }
dmesg -n 1
KINDS=(e1000e nvme xhci hda)
say "loading drivers…"; coldplug >/dev/null 2>&1
devices=(); for kind in "${KINDS[@]}"; do devices+=("$(bdf_of "$kind")"); done
give_override "${devices[@]}"
say "a qube named sys-demo starts with four devices…"; domu_start sys-demo "${devices[@]}" >/dev/null && domu_ready sys-demo
say "…and is destroyed…"; xl destroy sys-demo >/dev/null 2>&1; wait_for 30 domu_gone sys-demo
say ''
cat <<END
This is dom0 of a real Xen $(xl info | sed -n 's/^xen_version *: //p') in QEMU. The qube sys-demo has used four PCI devices and is gone.

  qubes-dom0-pci list                 what dom0 does not drive, who had it, what can be done
  qubes-dom0-pci plan $(bdf_of nvme)    the steps for one of them; changes nothing
  qubes-dom0-pci reattach $(bdf_of nvme)
  qubes-dom0-pci audit log            the journal of what was done
  works nvme                          does it work? (also: e1000e, xhci, hda)
  exit                                ends the machine

END
cat >/root/.bashrc <<'END'
. /lab/lib.sh
PS1='\[\033[1m\]dom0#\[\033[0m\] '
works() { local why; if why=$(command_works "$@"); then echo "works: data moved"; else echo "does not work: $why"; fi; }
END
# the library's `works` says why not and is silent when all is well; a person wants to hear both
sed -i 's/^works()/command_works()/' /lab/lib.sh
cd /root || exit 1
exec bash -i
