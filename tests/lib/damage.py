"""Random journals with random damage, as four verifiers see them: the program, verify.sh, DuckDB, ClickHouse.

    damage.py PROGRAM FOLDER COUNT [SEED]

Every journal is small, and has what journals have: several segments, regions that a crash left and a record accounts for, a
pruned beginning, repairs, HEAD, checkpoints. Every second one is damaged, once or more often, as a disk, a person or
somebody who can recompute hashes would do it. The seed is printed: with it the same journals are made.
"""

import concurrent.futures
import hashlib
import os
import random
import shutil
import subprocess
import sys

ZEROS = "0" * 64


def sha(text):
    return hashlib.sha256(text).hexdigest()


class Writer:
    """A journal in memory: what each file holds."""

    def __init__(self, chance):
        self.chance = chance
        self.files = {}
        self.seq, self.prev, self.second = 0, ZEROS, 0
        self.ends = []
        self.begin()
        self.record("genesis", ("id", "54a6b2580cde6657"))

    def name(self, first):
        return f"{first:012d}.jsonl"

    def begin(self):
        self.segment = self.name(self.seq)
        self.files[self.segment] = bytearray()

    def record(self, kind, *members, same_time=False):
        self.second += 0 if same_time else 1
        time = f"2026-11-22T08:{self.second // 60 % 60:02d}:{self.second % 60:02d}.000000Z"
        op = ',"op":"9616d76e"' if self.chance.random() < 0.4 else ""
        body = f'{{"v":1,"prev":"{self.prev}","seq":{self.seq},"time":"{time}","boot":"0a1b2c3d"{op},"kind":"{kind}"'
        for key, value in members:
            body += f',"{key}":' + (value if isinstance(value, Raw) else str(value) if isinstance(value, int) else f'"{value}"')
        self.put(body)

    def put(self, body):
        digest = sha((body + "}").encode())
        self.files[self.segment] += (body + f',"hash":"{digest}"}}\n').encode()
        self.ends.append((self.seq, digest, len(self.files[self.segment]), self.segment))
        self.seq, self.prev = self.seq + 1, digest

    def append(self):
        for number in range(self.chance.choice((1, 1, 1, 2, 3))):
            kind = self.chance.choice(("step", "stay", "recorder", "device", "note"))
            value = self.chance.choice(("x", Raw('["a","b"]'), Raw("[]"), Raw("true"), Raw('"a\\\\x00\\""'), 7, Raw("-3"), "," * 9, "y" * 90))
            self.record(kind, ("bdf", "0000:00:1f.6"), ("what", value), same_time=number > 0)

    def crash(self):
        """Bytes that a crash left, and the record that accounts for them."""
        rest = self.chance.choice((b'{"v":1,"prev":"half a rec', os_bytes(self.chance, 40), b"\n\n", b"\0" * 30, b"one\ntwo\r\nthr",
                                   self.lost()))
        if rest[-1:] != b"\n":
            rest += b"\n"
        self.files[self.segment] += rest
        self.record("torn", ("len", len(rest)), ("sha256", sha(rest)))

    def lost(self):
        """The second record of an append whose first did not reach the disk."""
        body = f'{{"v":1,"prev":"{sha(b"lost")}","seq":{self.seq + 1},"time":"2026-11-22T09:00:00.000000Z","boot":"0a1b2c3d","kind":"note"'
        return (body + f',"hash":"{sha((body + "}").encode())}"}}').encode()

    def turn(self):
        """A new segment."""
        before = self.segment
        self.begin()
        if self.chance.random() < 0.15:
            self.crash()
        self.record("segment", ("after", before), ("bytes", len(self.files[before])), ("sha256", sha(self.files[before])))

    def prune(self):
        names = sorted(self.files)
        if len(names) < 3:
            return
        gone = names[: self.chance.randrange(1, len(names) - 1)]
        first = int(names[len(gone)][:12])
        last = [end for end in self.ends if end[0] == first - 1][0]
        self.record("pruned", ("first", 0), ("last", first - 1), ("last_hash", last[1]), ("files", Raw('["' + '","'.join(gone) + '"]')))
        for name in gone if self.chance.random() < 0.8 else gone[:-1]:
            del self.files[name]

    def close(self):
        if self.chance.random() < 0.7:
            last = self.ends[-1] if self.chance.random() < 0.8 else self.chance.choice(self.ends)
            self.files["HEAD"] = bytearray("{} {} {} {}\n".format(*last).encode())
        if self.chance.random() < 0.4:
            lines = []
            for seq, digest, _, _ in self.chance.sample(self.ends, min(3, len(self.ends))):
                digest = digest.upper() if self.chance.random() < 0.2 else digest
                lines.append(f"2026-11-22T10:00:00.000000Z {seq} {digest}" + self.chance.choice(("", " paper")))
            self.files["checkpoints"] = bytearray("\n".join(lines).encode() + b"\n")


class Raw(str):
    """JSON as it is."""


def os_bytes(chance, count):
    return bytes(chance.randrange(256) for _ in range(count))


def written(chance):
    journal = Writer(chance)
    for _ in range(chance.randrange(1, 25)):
        what = chance.random()
        if what < 0.12:
            journal.turn()
        elif what < 0.22:
            journal.crash()
        elif what < 0.25:
            journal.record("gap", ("why", "accepted"))
        else:
            journal.append()
    if chance.random() < 0.15:
        journal.prune()
    journal.close()
    return journal


def segments(files):
    return sorted(name for name in files if name.endswith(".jsonl"))


def lines_of(data):
    return bytes(data).split(b"\n")


def resealed(line, change):
    """A record with other bytes and a hash that fits them, as only somebody who forges makes it."""
    body = change(line[:-75])
    return body + b',"hash":"' + sha(body + b"}").encode() + b'"}'


def forged(chance, files, name):
    """One record said otherwise, and all that follow it in its file made to fit."""
    lines = lines_of(files[name])
    records = [at for at, line in enumerate(lines) if line.startswith(b'{"v":1') and line.endswith(b'"}') and len(line) > 200]
    if not records:
        return
    start = chance.choice(records)
    change = chance.choice((
        lambda body: body + b',oops',
        lambda body: body + b',"x":1e999',
        lambda body: body + b',"x":null',
        lambda body: body + b',"x":{}',
        lambda body: body + b',"x":01',
        lambda body: body + b',"x":12345678901234567',
        lambda body: body + b',"x":["a",]',
        lambda body: body + b',"x":"\\ud800"',
        lambda body: body + b',"kind":"torn","len":0,"sha256":"x"',
        lambda body: body + b',"kind":"gap"',
        lambda body: body.replace(b'"kind":"', b'"kind":"\\u0067', 1),
        lambda body: body.replace(b',"boot":"0a1b2c3d"', b"", 1),
        lambda body: body.replace(b',"boot":"0a1b2c3d"', b',"boot":"another boot"', 1),
        lambda body: body.replace(b'"kind":"step"', b'"kind":"torn"', 1).replace(b'"kind":"stay"', b'"kind":"segment"', 1),
        lambda body: body.replace(b'"len":', b'"len":1', 1),
        lambda body: body.replace(b'"after":"', b'"after":"x', 1),
        lambda body: body + b"," + b"x" * 4000,
    ))
    before, after = lines[start], None
    for at in records[records.index(start):]:
        line = lines[at]
        line = resealed(line, change) if at == start else resealed(line, lambda body: body.replace(before[-66:-2], after[-66:-2], 1))
        before, lines[at] = lines[at], line
        after = line
        if at != start and chance.random() < 0.05:
            break
    files[name] = bytearray(b"\n".join(lines))


def damaged(chance, files):
    names = segments(files)
    if not names:
        return
    name = chance.choice(names)
    data = files[name]
    what = chance.randrange(18)
    at = chance.randrange(len(data)) if data else 0
    lines = lines_of(data)
    if what == 0 and data:
        data[at] ^= 1 << chance.randrange(8)
    elif what == 1:
        del data[at:]
    elif what == 2:
        del data[at:at + chance.randrange(1, 400)]
    elif what == 3:
        data[at:at] = os_bytes(chance, chance.randrange(1, 60))
    elif what == 4:
        data += chance.choice((os_bytes(chance, 300), b"\n", b"\0" * 100, b"\xff\n", lines[0], b"{}"))
    elif what in (5, 6, 7) and len(lines) > 2:
        one, other = sorted(chance.sample(range(len(lines) - 1), 2)) if len(lines) > 3 else (0, 1)
        if what == 5:
            del lines[one]
        elif what == 6:
            lines[one], lines[other] = lines[other], lines[one]
        else:
            lines.insert(other, lines[one])
        files[name] = bytearray(b"\n".join(lines))
    elif what == 8 and data:
        data[at:at + 1] = chance.choice((b"\r", b"\0", b"\n", b"\xc3\xa9", b"\r\n"))
    elif what == 9:
        del files[name]
    elif what == 10:
        files[f"{chance.randrange(40):012d}.jsonl"] = files.pop(name)
    elif what == 11 and data[-1:] == b"\n":
        del data[-1:]
    elif what == 12:
        files["HEAD"] = chance.choice((bytearray(), bytearray(b"\xff\0"), bytearray(files.get("HEAD", b"")[:-1]), bytearray(b"7 x 7 y\n"),
                                       bytearray(files.get("HEAD", b"0 ")).replace(b"1", b"2")))
    elif what == 13:
        files["checkpoints"] = chance.choice((bytearray(b"\xff\0\n"), bytearray(files.get("checkpoints", b"")).replace(b"1", b"2"), bytearray(os_bytes(chance, 200))))
    elif what == 14:
        files.pop("HEAD", None)
    elif what == 15:
        files[name] = bytearray()
    else:
        forged(chance, files, name)


def crafted():
    """What a chance seldom meets."""
    for name, make in sorted(CRAFTED.items()):
        journal = Writer(random.Random(name))
        yield name, make(journal)


def _files(journal, close=True):
    if close:
        last = journal.ends[-1]
        journal.files["HEAD"] = bytearray("{} {} {} {}\n".format(*last).encode())
    return journal.files


def _many(journal, count=9):
    for _ in range(count):
        journal.append()
    return journal


def _only(name, data):
    return lambda journal: {name: bytearray(data(journal))}


CRAFTED = {
    "emptied": lambda journal: {**_files(_many(journal)), journal.segment: bytearray()},
    "emptied-without-head": lambda journal: {journal.segment: bytearray()},
    "replaced-by-junk": lambda journal: {**_files(_many(journal)), journal.segment: bytearray(b"x" * 500 + b"\n")},
    "replaced-by-junk-without-head": lambda journal: {journal.segment: bytearray(b"x" * 500 + b"\n")},
    "only-a-head": lambda journal: {"HEAD": _files(_many(journal))["HEAD"]},
    "only-checkpoints": _only("checkpoints", lambda journal: f"t 1 {journal.prev} x\n".encode()),
    "only-junk-checkpoints": _only("checkpoints", lambda journal: b"\0\xff"),
    "only-a-note": _only("README", lambda journal: b"nothing here\n"),
    "an-alien-name": lambda journal: {**_files(_many(journal)), "7.jsonl": bytearray(b"x\n"), "0000000000007.jsonl": bytearray(b"x\n")},
    "carriage-returns": lambda journal: {name: data.replace(b"\n", b"\r\n") if name != "HEAD" else data for name, data in _files(_many(journal)).items()},
    "carriage-returns-for-feeds": lambda journal: {name: data.replace(b"\n", b"\r", 3) if name != "HEAD" else data for name, data in _files(_many(journal)).items()},
}


def made(folder, count, seed):
    shutil.rmtree(folder, ignore_errors=True)
    journals = dict(crafted())
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        files = written(chance).files
        if number % 2 or chance.random() < 0.3:
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                damaged(chance, files)
        journals[f"random-{number:04d}"] = files
    for machine, files in journals.items():
        os.makedirs(os.path.join(folder, machine))
        os.chmod(os.path.join(folder, machine), 0o700)
        for name, data in files.items():
            with open(os.path.join(folder, machine, name), "wb") as file:
                file.write(data)
    return sorted(machine for machine, files in journals.items() if files)


def main():
    import engines
    program, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seed = sys.argv[4] if len(sys.argv) > 4 else str(random.SystemRandom().randrange(10**6))
    print(f"     {count} random journals, half of them damaged; seed {seed}")
    machines = made(os.path.join(folder, "dom0s"), count, seed)
    path = lambda machine: os.path.join(folder, "dom0s", machine)

    def asked(machine):
        run = lambda *command: subprocess.run(command, capture_output=True, text=True, errors="replace")
        return (run(program, "--journal", path(machine), "audit", "verify"), run("sh", "audit/verify.sh", path(machine)))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        said = dict(zip(machines, pool.map(asked, machines)))
    tables = {"DuckDB": engines.DuckDB(folder, "dom0s"), "ClickHouse": engines.ClickHouse(folder, "dom0s")}
    verdicts = {name: engine.verdicts() for name, engine in tables.items()}
    differ, counts = 0, {}
    for machine in machines:
        by_program, by_script = said[machine]
        words = {0: "repaired after a crash" if "torn" in by_program.stdout else "sound", 7: "altered", 9: "torn tail", 11: "no journal"}
        word = words.get(by_program.returncode, f"exit {by_program.returncode}")
        counts[word] = counts.get(word, 0) + 1
        all_said = {"verify.sh": words.get(by_script.returncode, f"exit {by_script.returncode}")}
        all_said.update((name, verdicts[name].get(machine, "no line")) for name in tables)
        if set(all_said.values()) != {word}:
            differ += 1
            print(f"FAIL {machine}: audit verify says {word}; " + "; ".join(f"{name}: {what}" for name, what in all_said.items()))
            if differ < 4:
                print("      " + "\n      ".join((by_program.stdout + by_program.stderr + by_script.stdout + by_script.stderr).splitlines()))
                print("     ", *(engine.broken(machine) for engine in tables.values()))
    print("     " + ", ".join(f"{number} {word}" for word, number in sorted(counts.items())))
    print(("ok   " if not differ else "FAIL ") + f"all four verifiers agree on {len(machines) - differ} of {len(machines)} journals (seed {seed})")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
