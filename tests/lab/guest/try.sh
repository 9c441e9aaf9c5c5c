#!/bin/bash
# What tests/try shows, in dom0.
. /lab/lib.sh
. /lab/libvirt.sh
KINDS=(twin0 nvme xhci)
NIC=$(bdf_of twin0)
BOOT=$(cut -d. -f1 /proc/uptime)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\n$ %s\n' "$*"; "$@" 2>&1; }

say "dom0 is up: Xen $(xl info | sed -n 's/^xen_version *: //p'), Linux $(uname -r). Three devices with their dom0 drivers"
coldplug "${KINDS[@]}"
for kind in "${KINDS[@]}"; do lspci -k -s "$(bdf_of "$kind")" | grep -v Subsystem; done
libvirt_start || exit 1

# an HVM qube takes some eight times what dom0 took to start
if [ "$BOOT" -le 22 ]; then qube=hvm; why="as most of Qubes' with devices are"
else qube=pv; why="for dom0 took $BOOT s to start here, and an HVM one would not be ready within five minutes"; fi
say "libvirt gives them to a qube, as Qubes does it: ${qube^^}, $why"
devices=(); for kind in "${KINDS[@]}"; do devices+=("$(bdf_of "$kind")"); done
for bdf in "${devices[@]}"; do run virsh nodedev-detach "$(nodedev "$bdf")"; done
domain_xml $qube sys-demo yes "${devices[@]}" >/tmp/sys-demo.xml
run virsh define /tmp/sys-demo.xml
run virsh start sys-demo || exit 1
domu_ready sys-demo 200 || { fail "the qube does not get ready"; console sys-demo | tail -n 5 | indent; }
console sys-demo | tr -d '\r' | grep -a '^DOMU:' | indent
for kind in "${KINDS[@]}"; do check "the qube moved data through $kind" domu_used sys-demo "$kind"; done

say "The qube ends"
run virsh destroy sys-demo
wait_for 30 libvirt_gone sys-demo

say "What dom0 does not drive now"
run qubes-dom0-pci list
say "The plan for the network card (nothing is changed)"
run qubes-dom0-pci plan "$NIC"
say "Back to dom0, accepting by name what the plan warned about"
ids=$(accepts "$NIC")
run qubes-dom0-pci reattach "$NIC" ${ids:+--accept "$ids"}
rc=$?
[ $rc = 0 ] && pass "reattach ended 0" || fail "reattach ended $rc"
say "Does it work? A DHCP lease over it"
check_works twin0
snapshot "$NIC" | indent
finish
