#!/bin/bash
# What tests/try shows, in dom0.
. /lab/lib.sh
KINDS=(e1000e nvme xhci)
NIC=$(bdf_of e1000e)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\n$ %s\n' "$*"; "$@" 2>&1; }

say "dom0 is up: Xen $(xl info | sed -n 's/^xen_version *: //p'), Linux $(uname -r). Three devices with their dom0 drivers"
coldplug
for kind in "${KINDS[@]}"; do lspci -k -s "$(bdf_of "$kind")" | grep -v Subsystem; done

say "They go to a qube, as Qubes does it (pciback), and the qube uses them"
devices=(); for kind in "${KINDS[@]}"; do devices+=("$(bdf_of "$kind")"); done
give_override "${devices[@]}"
domu_start sys-demo "${devices[@]}" || exit 1
domu_ready sys-demo
console sys-demo | tr -d '\r' | grep -a '^DOMU:' | indent
for kind in "${KINDS[@]}"; do check "the qube moved data through $kind" domu_used sys-demo "$kind"; done

say "The qube ends"
# xl's complaints about devices without a reset of their own are not what this shows
run xl destroy sys-demo | grep -v '^libxl: error'
wait_for 30 domu_gone sys-demo

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
check_works e1000e
snapshot "$NIC" | indent
finish
