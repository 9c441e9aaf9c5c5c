"""A fleet of journals, some of them altered, read by the SQL in audit/fleet: fleet.py STORY PROGRAM FOLDER RECORDS."""

import collections
import glob
import hashlib
import json
import os
import subprocess
import sys
import time

import engines

STORY, PROGRAM, FOLDER, COUNT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
FLEET = os.path.join(FOLDER, "dom0s")
MACHINES = [f"office-{number}" for number in range(10)]
FAILED = []


def check(what, holds, *more):
    print(("ok   " if holds else "FAIL ") + what)
    if not holds:
        FAILED.append(what)
        for one in more:
            print("     ", one)


def sealed(line, **changes):
    """The record with other members, and a hash that fits them."""
    members = json.loads(line)
    members.update(changes)
    del members["hash"]
    body = json.dumps(members, separators=(",", ":"))
    return body[:-1] + ',"hash":"' + hashlib.sha256(body.encode()).hexdigest() + '"}\n'


def segment(machine):
    return sorted(glob.glob(os.path.join(FLEET, machine, "*.jsonl")))[0]


def rewrite(machine, change):
    path = segment(machine)
    with open(path, encoding="ascii") as file:
        lines = file.readlines()
    change(lines)
    with open(path, "w", encoding="ascii") as file:
        file.writelines(lines)


def first(lines, what):
    return next(number for number, line in enumerate(lines) if what in line and number > len(lines) // 2)


def relabel(lines):
    """A stay with a red qube is told as one with a blue one, and the record's own hash made to fit."""
    at = first(lines, '"label":"red"')
    lines[at] = sealed(lines[at], label="blue")


def relabel_and_rewrite_all(lines):
    """The same, with every later record made to fit: only a checkpoint kept elsewhere can tell."""
    at = first(lines, '"label":"red"')
    lines[at] = sealed(lines[at], label="blue")
    for number in range(at + 1, len(lines)):
        lines[number] = sealed(lines[number], prev=json.loads(lines[number - 1])["hash"])


def make():
    for machine in MACHINES:
        subprocess.run([STORY, os.path.join(FLEET, machine), str(COUNT)], check=True, stdout=subprocess.DEVNULL)
    kept = []
    for machine in MACHINES:
        with open(os.path.join(FLEET, machine, "HEAD"), encoding="ascii") as file:
            seq, digest = file.readline().split()[:2]
        kept.append((machine, int(seq), digest[:24]))
    rewrite("office-3", relabel)
    rewrite("office-5", relabel_and_rewrite_all)
    with open(os.path.join(FLEET, "office-5", "HEAD"), "w", encoding="ascii"):
        pass
    rewrite("office-6", lambda lines: lines.pop(first(lines, '"kind":"stay"')))
    # a crash, and the next append that accounts for it
    with open(segment("office-8"), "ab") as file:
        file.write(b'{"v":1,"prev":"\x00\xff half a "line", and\n\n a bit')
    subprocess.run([STORY, os.path.join(FLEET, "office-8"), str(1)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([PROGRAM, "--journal", os.path.join(FLEET, "office-8"), "audit", "checkpoint", "--to", "test"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(segment("office-9"), "ab") as file:
        file.write(b'{"v":1,"prev":"')
    return [one for one in kept if one[0] != "office-8"]


def by_hand():
    """(machine, bdf) -> qubes and returns after a stay with a red qube; plain Python over the lines."""
    met, came_back = collections.defaultdict(dict), collections.Counter()
    last = {}
    for machine in MACHINES:
        begun = {}
        for path in sorted(glob.glob(os.path.join(FLEET, machine, "*.jsonl"))):
            with open(path, "rb") as file:
                for line in file:
                    if b'"kind":"stay"' not in line and b'"kind":"op"' not in line:
                        continue
                    record = json.loads(line)
                    if record["kind"] == "stay" and record["label"] == "red":
                        met[machine, record["bdf"]].setdefault(record["qube"], record["seq"])
                    elif record.get("phase") == "start":
                        begun[record["op"]] = record
                    elif record.get("phase") == "end" and record["outcome"] == "done":
                        start = begun.get(record["op"])
                        key = machine, start["bdf"] if start else ""
                        if start and start["command"] in ("reattach", "rollback") and key in met:
                            came_back[key] += 1
                            last[key] = record["seq"]
    return {(key, came_back[key], tuple(sorted(qube for qube, seq in met[key].items() if seq < last[key]))) for key in came_back}


def asked(engine, kept):
    alone = engine.verdicts()
    engine.keep(kept)
    met = engine.ask("SELECT machine, bdf, times, qubes FROM met_and_came_back WHERE label = 'red'")
    found = (alone, engine.verdicts(), engine.ask("SELECT machine, seq, what FROM broken ORDER BY machine, seq, what"),
             {((machine, bdf), int(times), tuple(qubes)) for machine, bdf, times, qubes in met},
             int(engine.ask("SELECT count(*) FROM records")[0][0]))
    engine.close()
    return found


def verified(machine, *more):
    """What the program itself says, in the words of the SQL."""
    ended = subprocess.run([PROGRAM, "--journal", os.path.join(FLEET, machine), "audit", "verify", *more],
                           capture_output=True, text=True)
    words = {0: "sound", 7: "altered", 9: "torn tail"}.get(ended.returncode, f"exit {ended.returncode}")
    return "repaired after a crash" if words == "sound" and "torn" in ended.stdout else words


kept = make()
checkpoints = {machine: f"{seq}:{digest}" for machine, seq, digest in kept}
alone = {machine: verified(machine) for machine in MACHINES}
held = {machine: verified(machine, *(["--checkpoint", checkpoints[machine]] if machine in checkpoints else [])) for machine in MACHINES}
devices = by_hand()
print(f"{len(MACHINES)} journals of {COUNT} records; {len(devices)} devices met a red qube and came back")
check("audit verify alone: the altered one and the cut one", [m for m, v in alone.items() if v == "altered"] == ["office-3", "office-6"], alone)
check("audit verify with checkpoints: the rewritten one too",
      [m for m, v in held.items() if v == "altered"] == ["office-3", "office-5", "office-6"], held)
check("audit verify: a crash that a record accounts for, and a torn tail", held["office-8"] == "repaired after a crash" and held["office-9"] == "torn tail", held)
for name, engine in (("DuckDB", engines.DuckDB), ("ClickHouse", engines.ClickHouse)):
    begin = time.monotonic()
    without, within, broken, came_back, records = asked(engine(FOLDER, "dom0s"), kept)
    taken = time.monotonic() - begin
    print(f"     {name}: {records} records in {taken:.0f} s")
    for one in broken:
        print("     ", *one)
    check(f"{name}: the chain alone says of each journal what audit verify says", without == alone, without, alone)
    check(f"{name}: with the checkpoints too", within == held, within, held)
    check(f"{name}: the same devices met a red qube and came back, as often, by the same qubes", came_back == devices and devices,
          sorted(came_back ^ devices)[:6])
    check(f"{name}: at least the records that were written", records >= len(MACHINES) * COUNT - 1, records)
sys.exit(1 if FAILED else 0)
