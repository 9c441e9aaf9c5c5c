"""A hundred journals of 100,000 records, ten of them damaged, each in another way: large.py STORY PROGRAM FOLDER [RECORDS].

Both engines have to name each of the ten in one run, and nothing else. Prints how long that takes and how much memory,
beside `audit verify` of all of them.
"""

import glob
import os
import resource
import shutil
import subprocess
import sys
import time

import damage

STORY, PROGRAM, FOLDER = sys.argv[1:4]
COUNT = int(sys.argv[4]) if len(sys.argv) == 5 else 100_000
FLEET = os.path.join(FOLDER, "dom0s")
MACHINES = [f"office-{number:02d}" for number in range(100)]
WORDS = {0: "sound", 7: "altered", 9: "torn tail", 11: "no journal"}


def path(machine, name="000000000000.jsonl"):
    return os.path.join(FLEET, machine, name)


def changed(machine, change):
    with open(path(machine), "rb") as file:
        lines = file.read().split(b"\n")
    with open(path(machine), "wb") as file:
        file.write(b"\n".join(change(lines, len(lines) // 2)))


def flipped(lines, at):
    lines[at] = lines[at][:200] + bytes([lines[at][200] ^ 1]) + lines[at][201:]
    return lines


def removed(lines, at):
    return lines[:at] + lines[at + 1:]


def swapped(lines, at):
    return lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:]


def said_otherwise(lines, at):
    lines[at] = damage.resealed(lines[at], lambda body: body + b',"more":"x"')
    return lines


def rewritten(lines, at):
    """The same, and all that follow made to fit: only a checkpoint kept elsewhere can tell."""
    before, lines = lines[at], said_otherwise(lines, at)
    for later in range(at + 1, len(lines) - 1):
        old, new = before[-66:-2], lines[later - 1][-66:-2]
        before, lines[later] = lines[later], damage.resealed(lines[later], lambda body: body.replace(old, new, 1))
    return lines


def no_json(lines, at):
    lines[-2] = damage.resealed(lines[-2], lambda body: body + b",oops")
    return lines


def junk_between(lines, at):
    return lines[:at] + [b"\xff\x00 no record \r"] + lines[at:]


def append(machine, data):
    with open(path(machine), "ab") as file:
        file.write(data)


def make():
    """What was kept elsewhere of each machine."""
    for number, machine in enumerate(MACHINES):
        if number < 10:
            subprocess.run([STORY, os.path.join(FLEET, machine), str(COUNT)], check=True, stdout=subprocess.DEVNULL)
        else:
            shutil.copytree(os.path.join(FLEET, MACHINES[number % 10]), os.path.join(FLEET, machine))
    kept = {}
    for machine in MACHINES:
        with open(path(machine, "HEAD"), encoding="ascii") as file:
            seq, digest = file.readline().split()[:2]
        kept[machine] = (int(seq), digest[:24])
    for number, change in enumerate((flipped, removed, swapped, said_otherwise, rewritten, no_json, junk_between)):
        changed(f"office-{11 + 10 * number}", change)
    os.remove(path("office-51", "HEAD"))
    append("office-81", b'{"v":1,"prev":"\xff\x80\0half')
    append("office-91", b"")
    for name in glob.glob(path("office-91", "*.jsonl")):
        os.remove(name)
    with open(path("office-01"), "r+b") as file:
        file.truncate(os.path.getsize(path("office-01")) // 2)
    return kept


def verified(kept):
    """What the program says of each, and its highest peak of memory."""
    verdicts, peak = {}, 0
    for machine in MACHINES:
        command = [PROGRAM, "--journal", os.path.join(FLEET, machine), "audit", "verify", "--checkpoint", "{}:{}".format(*kept[machine])]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        verdicts[machine] = WORDS.get(os.waitstatus_to_exitcode(status), "?")
        peak = max(peak, used.ru_maxrss)
    return verdicts, peak


def in_engine(name, kept):
    """In a process of its own, for its peak of memory."""
    asked = [f"{machine} {seq} {digest}" for machine, (seq, digest) in kept.items()]
    child = subprocess.Popen([sys.executable, __file__, "engine", name, FOLDER, *asked], stdout=subprocess.PIPE, text=True)
    verdicts = dict(row.rstrip("\n").split("\t") for row in child.stdout)
    _, _, used = os.wait4(child.pid, 0)
    return verdicts, used.ru_maxrss


def engine(name, folder, *kept):
    import engines
    one = getattr(engines, name)(folder, "dom0s")
    one.keep([(machine, int(seq), digest) for machine, seq, digest in map(str.split, kept)])
    for machine, verdict in sorted(one.verdicts().items()):
        print(machine, verdict, sep="\t")


def timed(what):
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    verdicts, peak = what()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return verdicts, time.monotonic() - begin, cpu, peak / 1024


def main():
    kept = make()
    size = sum(os.path.getsize(name) for name in glob.glob(os.path.join(FLEET, "*", "*")))
    print(f"     {len(MACHINES)} journals of {COUNT} records, {size / 1e9:.1f} GB, ten of them damaged")
    rows = [("audit verify, one by one", timed(lambda: verified(kept))), ("DuckDB", timed(lambda: in_engine("DuckDB", kept))),
            ("ClickHouse", timed(lambda: in_engine("ClickHouse", kept)))]
    print("     |                          | seconds | processor | peak MB |")
    for name, (_, wall, cpu, peak) in rows:
        print(f"     | {name:24} | {wall:7.0f} | {cpu:9.0f} | {peak:7.0f} |")
    failed = False
    expected = rows[0][1][0]
    named = sorted(machine for machine, verdict in expected.items() if verdict not in ("sound", "repaired after a crash"))
    print("     " + ", ".join(f"{machine}: {expected[machine]}" for machine in named))
    # A machine of which only HEAD is left has no segment, and is altered to all of them.
    for name, (verdicts, *_) in rows:
        verdicts = {machine: verdict.replace("repaired after a crash", "sound") for machine, verdict in verdicts.items()}
        good = len(named) == 10 and verdicts == expected
        failed |= not good
        print(("ok   " if good else "FAIL ") + f"{name}: names each of the ten, and no other")
        if not good:
            print("     ", sorted(set(verdicts.items()) ^ set(expected.items())))
    sys.exit(failed)


if __name__ == "__main__":
    if sys.argv[1] == "engine":
        engine(*sys.argv[2:])
    else:
        main()
