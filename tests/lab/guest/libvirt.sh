# shellcheck shell=bash
# The real libvirtd in dom0 (run --with libvirt). Sourced after lib.sh.

virsh() { command virsh -q -c xen:///system "$@"; }
libvirt_start() {
  mkdir -p /run/libvirt /var/log/libvirt/libxl /var/lib/libvirt/libxl/save /var/cache/libvirt
  [ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef >/etc/machine-id
  grep -q '^libvirt:' /etc/group || echo 'libvirt:x:120:' >>/etc/group
  libvirtd -d >/tmp/libvirtd.out 2>&1 || { fail "libvirtd does not start"; indent </tmp/libvirtd.out; return 1; }
  wait_for 90 virsh version || { fail "libvirtd does not answer"; tail -n 20 /var/log/libvirt/libvirtd.log | indent; return 1; }
}
libvirt_pid() { pidof libvirtd; }

# pci_0000_00_02_0: libvirt's name of a function
nodedev() { echo "pci_${1//[:.]/_}"; }
# hostdev_xml BDF yes|no: as Qubes has it (managed='yes'); HOSTDEV_ATTR, more attributes of <source>
hostdev_xml() {
  local b=$1
  printf "<hostdev mode='subsystem' type='pci' managed='%s'><source%s><address domain='0x%s' bus='0x%s' slot='0x%s' function='0x%s'/></source></hostdev>\n" \
    "$2" "${HOSTDEV_ATTR:+ $HOSTDEV_ATTR}" "${b:0:4}" "${b:5:2}" "${b:8:2}" "${b:11:1}"
}
# domain_xml pv|hvm NAME MANAGED BDF…: the lab's qube as libvirt is told it; DOMU_EXTRA for more on its kernel's command line
domain_xml() {
  local kind=$1 name=$2 managed=$3 bdf os memory=256 features emulator=/bin/true; shift 3
  os="<type arch='x86_64' machine='xenpv'>linux</type><kernel>/mnt/domu/vmlinux</kernel>"
  features="<features><xen><e820_host state='on'/></xen></features>"
  if [ "$kind" = hvm ]; then
    memory=300 emulator=/usr/libexec/xen-qemu-system-i386 features="<features><acpi/><apic/></features>"
    os="<type arch='x86_64' machine='xenfv'>hvm</type><kernel>/usr/share/lab/vmlinuz</kernel>"
  fi
  cat <<END
<domain type='xen'>
  <name>$name</name><memory unit='MiB'>$memory</memory><vcpu>1</vcpu>
  <os>$os<initrd>/mnt/domu/initrd</initrd>
    <cmdline>console=hvc0 quiet $([ "$kind" = hvm ] && echo 'mitigations=off cryptomgr.notests' || echo swiotlb=8192) ${DOMU_EXTRA:-}</cmdline></os>
  $features
  <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>$emulator</emulator>
    $(for bdf; do hostdev_xml "$bdf" "$managed"; done)
    <console type='pty'><target type='xen'/></console>
  </devices>
</domain>
END
}
# libvirt_defines pv|hvm NAME MANAGED BDF…, in the place of what it knew by that name
libvirt_defines() {
  virsh undefine "$2" >/dev/null 2>&1
  domain_xml "$@" >"/tmp/$2.xml"
  virsh define "/tmp/$2.xml" 2>&1 | indent
}
# libvirt_starts NAME KIND…: it gets ready, and data of these kinds moves in it
libvirt_starts() {
  local name=$1 kind; shift
  rm -f "/var/log/xen/console/guest-$name.log"
  virsh start "$name" >"/tmp/$name.out" 2>&1 || { fail "virsh start $name"; indent <"/tmp/$name.out"; tail -n 5 "/var/log/libvirt/libxl/libxl-driver.log" | indent; return 1; }
  domu_ready "$name" "${READY:-180}" || { fail "$name does not get ready"; console "$name" | tail -n 5 | indent; return 1; }
  for kind; do check "$name moves data through $kind" domu_used "$name" "$kind"; done
}
libvirt_lists() { virsh list --name | grep -qx "$1"; }
libvirt_gone() { ! libvirt_lists "$1" && domu_gone "$1"; }
