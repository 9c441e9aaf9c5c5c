#!/bin/bash
# What a safe return costs: `reattach` against the recipe's four lines, on the same never-used e1000e, turn by turn.
. /lab/lib.sh
RUNS=${RUNS:-12}
coldplug
nic=$(bdf_of e1000e)
cat >/tmp/recipe <<END
echo $nic > /sys/bus/pci/drivers/pciback/unbind
MOD=\`modprobe -R \\\`cat /sys/bus/pci/devices/$nic/modalias\\\` | head -n1\`
echo $nic > /sys/bus/pci/drivers/\$MOD/bind
END
now() { echo "${EPOCHREALTIME/[.,]/}"; }
median() { sort -n | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : int((a[NR / 2] + a[NR / 2 + 1]) / 2) }'; }
give_sysfs "$nic"; ids=$(accepts "$nic")
: >/tmp/recipe.us; : >/tmp/tool.us; : >/tmp/wait.us
for i in $(seq "$RUNS"); do
  a=$(now); sh /tmp/recipe; b=$(now); echo $((b - a)) >>/tmp/recipe.us
  [ "$(driver "$nic")" = e1000e ] || { echo "the recipe failed"; exit 1; }
  sleep 1; give_sysfs "$nic"; sleep 1
  a=$(now); qubes-dom0-pci --json reattach "$nic" --accept "$ids" >/tmp/run.json </dev/null; rc=$?; b=$(now)
  [ $rc = 0 ] || { echo "reattach ended $rc"; cat /tmp/run.json; exit 1; }
  echo $((b - a)) >>/tmp/tool.us
  jq '[.steps[] | select(.step == "verify") | .microseconds] | add' /tmp/run.json >>/tmp/wait.us
  sleep 1; give_sysfs "$nic"; sleep 1
done
recipe=$(median </tmp/recipe.us); tool=$(median </tmp/tool.us); waited=$(median </tmp/wait.us)
awk -v r="$recipe" -v t="$tool" -v w="$waited" -v n="$RUNS" 'BEGIN {
  printf "runs                          %d of each, in turn, on the same never-used e1000e\n", n
  printf "recipe, four lines            %8.1f ms (median)\n", r / 1000
  printf "reattach, whole process       %8.1f ms (median)\n", t / 1000
  printf "  of it, waiting for evidence %8.1f ms (verify)\n", w / 1000
  printf "ratio                         %8.2f\n", t / r
  printf "ratio without that wait       %8.2f\n", (t - w) / r }'
echo; echo "where the last run's time went (ms):"
jq -r '.steps[] | "  \(.step) \(.microseconds / 1000)"' /tmp/run.json
echo "  all steps $(jq '[.steps[].microseconds] | add / 1000' /tmp/run.json), whole process $(tail -n 1 /tmp/tool.us | awk '{ print $1 / 1000 }')"
# busybox takes for pages what the kernel counts in kB: calibrated on a process that prints its own peak
peak_of() { busybox time -v "$@" 2>&1 </dev/null | sed -n 's/.*Maximum resident set size (kbytes): \([0-9]*\).*/\1/p'; }
own=$(sh -c 'grep VmHWM /proc/$$/status' | tr -cd '0-9'); told=$(peak_of sh -c 'grep VmHWM /proc/$$/status'); scale=1
[ "$told" -lt $((own * 3)) ] || scale=4
give_sysfs "$nic"
peak=$(($(peak_of qubes-dom0-pci reattach "$nic" --accept "$ids") / scale))
check "the measured run brought it back" test "$(driver "$nic")" = e1000e
echo; echo "peak memory of reattach: $peak KiB (of a shell, by the same measure: $((told / scale)) KiB)"
[ $FAILED = 0 ] && [ "$peak" -lt 16384 ]
