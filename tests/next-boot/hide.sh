# shellcheck shell=bash
# Which PCI devices a boot of Qubes gives to pciback: the rules of qubes-dom0-pci-next-boot(7) as a dracut hook, written for these
# tests. It asks dracut's own option reader and the real lspci; tests/next-boot/compare holds it against what Qubes' own script was
# recorded to do, and the lab boots with it.
#
# Sourced. Whoever sources it has `getarg` and `getargbool` of dracut-lib.sh, and sets
#   SYS      where sysfs is (/sys)
#   RELEASE  4.2 or 4.3
# and defines `give ADDRESS`, which gives a device to pciback and fails where it cannot.
# hide_devices sets STOPS (yes or no) and USBGUARD (yes or no).

# words LIST: one entry a line
words() { tr ', ' '\n\n' <<<"$1" | grep -v '^$'; }

# is_list WORDS: only letters that an address can have, of 4.3 a path too
is_list() {
  local letters='0-9a-f.:,'
  [ "$RELEASE" = 4.2 ] || letters+='_-'
  # with every good letter taken out nothing is left
  [ -z "$(printf %s "$1" | LC_ALL=C tr -d "$letters")" ]
}

# address ENTRY: the name that sysfs would have for it, or nothing where that cannot be told
address() {
  local entry=$1 segment=0000 bridge bus below
  if [ "$RELEASE" = 4.2 ]; then echo "0000:$entry"; return; fi
  if [[ $entry == [0-9a-f][0-9a-f][0-9a-f][0-9a-f]_*_*.* ]]; then
    segment=${entry:0:4}; entry=${entry:5}
  elif [[ $entry != *_*.* ]]; then
    case $entry in
      *:*:*.*) echo "$entry" ;;
      *:*.*) echo "0000:$entry" ;;
    esac
    return
  fi
  # a path: each bus is counted from the one behind the bridge before it
  while [[ $entry == *-* ]]; do
    bridge=$segment:$(tr _ : <<<"${entry%%-*}"); entry=${entry#*-}
    [ -r "$SYS/bus/pci/devices/$bridge/secondary_bus_number" ] || return
    read -r below <"$SYS/bus/pci/devices/$bridge/secondary_bus_number"
    # what is not a number comes to nothing
    bus=$(printf '%02x' "$((0x${entry%%_*} + below))" 2>/dev/null) 2>/dev/null || bus=''
    entry=${bus}_${entry#*_}
  done
  echo "$segment:$(tr _ : <<<"$entry")"
}

hide_devices() {
  local classes='^02' list more left='' entry found one ended=0 skipped
  STOPS=no USBGUARD=no
  if getargbool 0 rd.qubes.hide_all_usb; then classes='^(02|0c03)'
  elif ! getargbool 1 usbcore.authorized_default; then USBGUARD=yes; fi
  # lspci -mm: ADDRESS "CLASS" …
  list=$(lspci -mm -n | sed 's/"//g' | while read -r found one _; do [[ ! $one =~ $classes ]] || echo "$found"; done)
  more=$(getarg rd.qubes.hide_pci) || more=''
  # spaces part entries too
  if ! is_list "${more//[$' \n']/}"; then STOPS=yes; return; fi
  if left=$(getarg rd.qubes.dom0_usb) && [ -n "$left" ] && is_list "$left"; then USBGUARD=yes; else left=''; fi
  # of all entries the last one says how it ended
  for entry in $list $(words "$more"); do
    found=$(address "$entry")
    if [ -z "$found" ]; then STOPS=yes; return; fi
    skipped=''
    for one in $(words "$left"); do
      if [ "$RELEASE" = 4.2 ]; then [ "$one" != "$entry" ] || skipped=yes
      else [ "$(address "$one")" != "$found" ] || skipped=yes; fi
    done
    ended=0
    [ -n "$skipped" ] || give "$found" || ended=1
  done
  [ $ended = 0 ] || STOPS=yes
}
