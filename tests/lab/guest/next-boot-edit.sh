#!/bin/bash
# The first boot of tests/all.d/46-next-boot, on the root file system of the lab's third disk: see there.
. /lab/lib.sh
R=/mnt/root
mkdir -p $R
for disk in /sys/block/vd*; do
  [ "$(cat "$disk/serial")" != lab-root ] || mount -t ext4 "/dev/${disk##*/}" $R
done
for place in dev sys proc; do mount --bind /$place $R/$place; done
in_root() { chroot $R /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"; }
predicts() { in_root qubes-dom0-pci --json next-boot; }
where() { jq -r --arg bdf "$1" '.functions[] | select(.bdf == $bdf) | .next' "$2"; }

step "GRUB's configuration as it stands"
in_root grub2-mkconfig -o /boot/grub2/grub.cfg 2>&1 | indent
check "20_linux_xen made an entry with Xen" grep -q '^menuentry .*with Xen' $R/boot/grub2/grub.cfg
predicts >/tmp/before; jq -c .boot /tmp/before | indent
same "what it was made of agrees" '[]' "$(jq -c '[.boot.differs[] | select(.what != "this-boot")]' /tmp/before)"
for pair in 00:02.0=hidden 00:03.0=stub 00:04.0=hidden 00:05.0=no-driver 00:0e.0=hidden 00:0e.7=hidden 00:08.0=driver 00:09.0=stub 02:00.0=hidden; do
  same "before the edit ${pair%=*} is ${pair#*=}" "${pair#*=}" "$(where "0000:${pair%=*}" /tmp/before)"
done

step "one edit for all"
goal=(--return 00:02.0 00:03.0 00:04.0 00:0e.0 00:0e.7 00:05.0 --keep-away 02:00.1 00:0a.0)
in_root qubes-dom0-pci --json next-boot "${goal[@]}" >/tmp/edit || jq . /tmp/edit | indent
in_root qubes-dom0-pci next-boot "${goal[@]}" --diff >/tmp/diff
indent </tmp/diff
cp $R/etc/default/grub /tmp/grub
in_root patch -p1 -d / </tmp/diff | indent
predicts >/tmp/between
same "the configuration is behind its source" source "$(jq -r '.boot.differs[0].what' /tmp/between)"
# the first command is the one that applies the diff
jq -r '.edit.commands[1:][]' /tmp/edit >/tmp/commands
indent </tmp/commands
while read -r command; do in_root sh -c "$command" 2>&1 | indent; done </tmp/commands
predicts >$R/root/predicted
same "what was promised is what is predicted" "$(jq -c '[.edit.after.functions[] | [.bdf, .next]]' /tmp/edit)" \
  "$(jq -c '[.functions[] | [.bdf, .next]]' $R/root/predicted)"
check "no edit is needed then" eval 'in_root qubes-dom0-pci next-boot "${goal[@]}" | grep -q "No edit is needed"'
jq -r '.functions[] | "\(.bdf) \(.next) \(.driver)"' $R/root/predicted | indent
mkdir -p $R/root/back/etc/default; cp $R/etc/default/grub $R/root/back/etc/default/
in_root patch -R -p1 -d /root/back </tmp/diff | indent
check "patch -R gives the same bytes" cmp /tmp/grub $R/root/back/etc/default/grub

step "the command line that GRUB hands on"
args=$(sed -n 's/^\tmodule2\t*[^ ]*vmlinuz[^ ]* placeholder root=[^ ]* ro //p' $R/boot/grub2/grub.cfg | head -n 1)
eval "set -- $args"
same "it is the one that was found" "$(jq -r .boot.line $R/root/predicted | tr -s ' ' | sed 's/.* ro //; s/ $//')" "$*"
echo "LINE $*"
for place in dev sys proc; do umount $R/$place; done
umount $R
finish
