#!/bin/bash
# What the program says and writes down in each situation of tests/matrix/transcript.rs, for tests/all.d/60-transcripts:
# `TRANSCRIPT name`, then `plan` (before a reattach), the command and the journal, then `END`.
. /lab/lib.sh
J=/var/lib/qubes/dom0-pci/journal
coldplug e1000e
nic=$(bdf_of e1000e)

# as dom0 drives it, with an empty journal
fresh() {
  rm -rf "$J"
  case $(fields "$nic") in
    *'driver=e1000e slot=no override=(null) owner=d0') ;;
    *)
      echo >"$P/$nic/driver_override"
      [ "$(driver "$nic")" = none ] || echo "$nic" >"$P/$nic/driver/unbind"
      xl pci-assignable-remove "$nic" >/dev/null 2>&1
      ! listed "$nic" || echo "$nic" >$K/remove_slot
      [ "$(driver "$nic")" = e1000e ] || echo "$nic" >$D/e1000e/bind
      sleep 1 ;;
  esac
}
# told NAME COMMAND [FILE]: with FILE refusing every write
told() {
  local rc=0 ids=''
  echo "TRANSCRIPT $1"
  if [ "$2" = reattach ]; then
    echo '$ plan'; tool --json plan "$nic" >/tmp/plan 2>/dev/null || rc=$?
    cat /tmp/plan; printf '\nexit %s\n' $rc
    ids=$(jq -r '(.accept // []) | join(",")' /tmp/plan)
  fi
  [ -z "${3:-}" ] || { mount --bind "$3" "$3"; mount -o remount,ro,bind "$3" "$3"; }
  rc=0; echo "\$ $2"; tool --json "$2" "$nic" ${ids:+--accept "$ids"} 2>/dev/null </dev/null || rc=$?
  printf '\nexit %s\n$ journal\n' $rc
  cat $J/*.jsonl 2>/dev/null
  [ -z "${3:-}" ] || umount "$3"
  echo END
  fresh
}

fresh; told dom0s-already reattach
told hold hold
give_xl "$nic"; told held reattach
give_override "$nic"; told pinned reattach
give_xl "$nic"; echo "$nic" >$K/unbind; told driverless reattach
give_xl "$nic"; echo "$nic" >$K/unbind; echo "$nic" >$K/remove_slot; echo "$nic" >$D/e1000e/bind; sleep 1; told bound-in-quarantine reattach
give_xl "$nic"; echo nosuchdriver >"$P/$nic/driver_override"; told stuck-override reattach
give_sysfs "$nic"; told never-quarantined reattach
give_xl "$nic"; told bind-fails reattach $D/e1000e/bind
give_xl "$nic"; told remove-slot-fails reattach $K/remove_slot
finish
