#!/bin/sh
# lab.service: the script of this boot, in a dom0 that systemd booted. As init does it: output to the second serial port, then off.
O=/dev/ttyS1
stty -F $O raw -echo 115200 2>/dev/null
report() { echo "$* $(cut -d' ' -f1 /proc/uptime)" >$O; }
cd /lab || exit 1
report LAB-START
sh -c 'exec ./script' >$O 2>&1 </dev/null; rc=$?
sync
report LAB-EXIT $rc
exec systemctl poweroff -ff
