#!/bin/bash
# What the program says and writes down in each situation of tests/matrix/transcript.rs, for tests/all.d/60-transcripts:
# `TRANSCRIPT name`, then `plan` (before a reattach), the command and the journal, then `END`.
. /lab/lib.sh
coldplug e1000e
# at KIND: the device that is led through the situations from here on
at() { device=$(bdf_of "$1"); own=$(driver_for "$1"); }
at e1000e

# as dom0 drives it, with an empty journal
fresh() {
  rm -rf "$J"
  case $(fields "$device") in
    *"driver=$own slot=no override=(null) owner=d0") ;;
    *)
      echo >"$P/$device/driver_override"
      [ "$(driver "$device")" = none ] || echo "$device" >"$P/$device/driver/unbind"
      xl pci-assignable-remove "$device" >/dev/null 2>&1
      ! listed "$device" || echo "$device" >$K/remove_slot
      [ "$(driver "$device")" = "$own" ] || echo "$device" >$D/$own/bind
      sleep 1 ;;
  esac
}
# told NAME COMMAND [FILE]: with FILE refusing every write
told() {
  local rc=0 ids=''
  echo "TRANSCRIPT $1"
  if [ "$2" = reattach ]; then
    echo '$ plan'; tool --json plan "$device" >/tmp/plan 2>/dev/null || rc=$?
    cat /tmp/plan; printf '\nexit %s\n' $rc
    ids=$(jq -r '(.accept // []) | join(",")' /tmp/plan)
  fi
  [ -z "${3:-}" ] || { mount --bind "$3" "$3"; mount -o remount,ro,bind "$3" "$3"; }
  rc=0; echo "\$ $2"; tool --json "$2" "$device" ${ids:+--accept "$ids"} 2>/dev/null </dev/null || rc=$?
  printf '\nexit %s\n$ journal\n' $rc
  cat $J/*.jsonl 2>/dev/null
  [ -z "${3:-}" ] || umount "$3"
  echo END
  fresh
}

fresh; told dom0s-already reattach
told hold hold
give_xl "$device"; told held reattach
give_override "$device"; told pinned reattach
give_xl "$device"; echo "$device" >$K/unbind; told driverless reattach
give_xl "$device"; echo "$device" >$K/unbind; echo "$device" >$K/remove_slot; echo "$device" >$D/e1000e/bind; sleep 1; told bound-in-quarantine reattach
give_xl "$device"; echo nosuchdriver >"$P/$device/driver_override"; told stuck-override reattach
give_sysfs "$device"; told never-quarantined reattach
give_xl "$device"; told bind-fails reattach $D/e1000e/bind
give_xl "$device"; told remove-slot-fails reattach $K/remove_slot
at nvme
fresh; give_xl "$device"; told disk reattach
told disk-hold hold
at xhci
fresh; give_xl "$device"; told usb reattach
told usb-hold hold
finish
