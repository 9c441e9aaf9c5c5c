# shellcheck shell=bash
# SIGKILL at one system call of a real `reattach`, `recover`, and what has to hold then. Sourced after lib.sh.
#
# What the program writes is, in turn, records to the journal (the result of a step and the intent of the next) and a request to
# the child that changes the device; while the child does so, the program waits in poll. strace kills it on entering one such
# call, which is then not made. So each step is cut
#   announced   its intent is on disk, nothing was done
#   under way   the child has the request, and nobody is left to hear its answer
#   unreported  it was done, and the journal does not have its result

CUTS=0
declare -A CUT=() CONSENT=()

verified() { local rc=0; tool audit verify >/dev/null 2>&1 || rc=$?; echo $rc; }
# held KIND: held by pciback and quarantined, as after a qube; the driver's module not loaded
HELD='driver=pciback slot=listed override=(null) owner=DomIO'
held() {
  local bdf; bdf=$(bdf_of "$1")
  case $(fields "$bdf") in
    *" $HELD") ;;
    # taken by its slot when it was plugged in
    *driver=pciback*) xl pci-assignable-add "$bdf" >/dev/null 2>&1 ;;
    *) tool hold "$bdf" >/tmp/out 2>&1 || { fail "hold $1"; indent </tmp/out; } ;;
  esac
  [ -n "${CONSENT[$1]:-}" ] || CONSENT[$1]=$(accepts "$bdf")
  modprobe -r "${MODULE[$1]:-none}" 2>/dev/null
  rm -f /run/udev/rules.d/*
  [ -n "${GUARDS:-}" ] || GUARDS=$(guards)
}

# killed_at CALL N PROGRAM…: runs it under strace. The shell between would say that it was killed.
killed_at() {
  sh -c '"$@"; exit $?' sh strace -y -o /tmp/trace -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" "${@:3}" \
    >/tmp/run.json 2>/tmp/run.err </dev/null
}

# cut_at KIND CALL N: on entering the Nth CALL. Returns 1 where the run ended before that: then it was a whole one.
cut_at() {
  local kind=$1 call=$2 n=$3 bdf rc=0 how name step last pending forward after wrong=''
  bdf=$(bdf_of "$kind")
  held "$kind"
  killed_at "$call" "$n" qubes-dom0-pci --json reattach "$bdf" --accept "${CONSENT[$kind]}" || rc=$?
  [ $rc != 0 ] || { check_works "$kind" "not cut at all"; return 1; }

  last=$(grep "$call(" /tmp/trace | tail -n 1)
  step=$(tail -n 1 $J/*.jsonl | jq -r 'select(.kind == "step") | .step')
  case $call:$last in
    write:*journal/*) how=unreported ;;
    write:*pipe:*) how=announced ;;
    poll:*) how='under way' ;;
    *) how='not answered' step=unpin ;;
  esac
  name="$kind, ${step:-start} $how"
  because() { wrong+="; $*"; }

  [ $rc = 137 ] || because "it ended $rc"
  rc=$(verified); [ "$rc" = 0 ] || [ "$rc" = 9 ] || because "the journal verifies $rc"
  forward=0; pending=8 after=$(fields "$bdf")
  case $how,$step in
    'not answered',*) forward=1; pending=0 ;;
    *,) pending=4 ;;
    # What dom0's driver has and dom0 owns is proved and kept, although nobody was left to report the bind.
    unreported,bind|'under way',bind) case $after in *" driver=$(driver_for "$kind") "*owner=d0) forward=1 ;; esac ;;
    *) forward=$(grep -c "\"op\":\"$(tail -n 1 $J/*.jsonl | jq -r .op)\".*\"step\":\"bind\",\"phase\":\"done\"" $J/*.jsonl) ;;
  esac
  rc=0; tool reattach "$bdf" >/tmp/out 2>&1 </dev/null || rc=$?
  [ $rc = $pending ] || because "before recover reattach exits $rc"
  rc=0; tool recover >/tmp/recover 2>&1 </dev/null || rc=$?
  [ $rc = 0 ] || because "recover exits $rc"
  rc=0; tool recover >/tmp/again 2>&1 </dev/null || rc=$?
  [ $rc = 0 ] && grep -q 'nothing to do' /tmp/again || because "recover once more exits $rc"
  after=$(fields "$bdf")
  if [ "$forward" = 0 ]; then
    [ "$after" = "$bdf $HELD" ] || because "after recover it is $after"
    ls /run/udev/rules.d/* >/dev/null 2>&1 && because "a udev rule was left"
    last='held and quarantined'
  else
    [ "$after" = "$bdf driver=$(driver_for "$kind") slot=no override=(null) owner=d0" ] || because "after recover it is $after"
    last=$(works "$kind" 2>/dev/null) && last='works: data moved' || because "$last"
  fi
  rc=$(verified); [ "$rc" = 0 ] || because "after recover the journal verifies $rc"
  [ "$(guards)" = "$GUARDS" ] || because "a guard was left: $(guards)"

  CUTS=$((CUTS + 1)); CUT["${step:-start} $how"]=1
  if [ -z "$wrong" ]; then pass "$name: $last"
  else fail "$name$wrong"; cat /tmp/run.err /tmp/recover /tmp/again | indent; tail -n 8 $J/*.jsonl | cut -d, -f4- | indent; fi
}

# what a guard changes for all devices: it must not stay
guards() { cat /sys/module/usbcore/parameters/authorized_default /sys/module/block/parameters/no_part_scan 2>/dev/null; }

# cut_all KIND CALL [FIRST]: on entering each, one run after another, from the FIRSTth on
cut_all() {
  local n=${3:-1}
  while cut_at "$1" "$2" "$n"; do n=$((n + 1)); [ $n -lt 60 ] || { fail "$1: it never ends"; return; }; done
}

# cut_in HOW STEP…: each of these was cut so
cut_in() {
  local how=$1 step; shift
  for step; do [ -n "${CUT["$step $how"]:-}" ] || fail "nothing was cut with $step $how"; done
}

# stopped_at CALL N PROGRAM…: starts it, and returns when it stands still behind its Nth CALL; `go_on` lets it run to its end, and
# its exit code is in RC.
stopped_at() {
  rm -f /tmp/trace /tmp/run.rc
  sh -c '"$@"; echo $? >/tmp/run.rc' sh strace -y -o /tmp/trace -e "trace=$1" -e "inject=$1:signal=STOP:when=$2" "${@:3}" \
    >/tmp/run.json 2>/tmp/run.err </dev/null &
  RUNNING=$!
  wait_for 200 stands_still || { fail "it does not stop at $1 $2"; cut -c1-120 /tmp/trace | indent; indent </tmp/run.err; }
}
# the first word of the lock is the operation's process
stands_still() { grep -q -- '--- stopped by SIGSTOP ---' /tmp/trace; }
operation() { cut -d' ' -f1 /run/qubes-dom0-pci.lock; }
go_on() { kill -CONT "$(operation)"; wait $RUNNING; RC=$(cat /tmp/run.rc); }

# learn KIND: a whole run, to see which of its writes is which
learn() {
  held "$1"
  strace -y -s 8192 -o /tmp/whole -e trace=write qubes-dom0-pci --json reattach "$(bdf_of "$1")" --accept "${CONSENT[$1]}" \
    >/tmp/run.json 2>/tmp/run.err </dev/null || { fail "a whole run of $1"; indent </tmp/run.err; }
  grep '^write(' /tmp/whole >/tmp/writes
}
# the number of the write that announces STEP, and of the last request that carries it out
announces() { grep -nF "\\\"step\\\":\\\"$1\\\",\\\"phase\\\":\\\"intent\\\"" /tmp/writes | head -n 1 | cut -d: -f1; }
carries_out() { awk -v from="$(announces "$1")" 'NR > from && /journal/ { exit } NR > from { last = NR } END { print last }' /tmp/writes; }
