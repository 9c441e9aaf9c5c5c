"""The SQL in audit/fleet, in the engines that come from PyPI."""

import json
import os

import chdb.session
import duckdb


def statements(name, fleet):
    with open(os.path.join("audit", "fleet", name), encoding="utf-8") as file:
        text = file.read().replace("/srv/dom0s", fleet)
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    return [one for one in (part.strip() for part in "\n".join(lines).split(";\n")) if one]


class DuckDB:
    def __init__(self, folder, fleet):
        self.engine = duckdb.connect(os.path.join(folder, "fleet.duckdb"))
        self.engine.execute(f"SET temp_directory = '{folder}/spill'")
        for statement in statements("duckdb.sql", os.path.join(folder, fleet)):
            self.engine.execute(statement)

    def ask(self, query):
        return self.engine.execute(query).fetchall()

    def keep(self, kept):
        self.engine.executemany("INSERT INTO kept VALUES (?, ?, ?)", kept)

    def verdicts(self):
        return dict(self.ask("SELECT machine, verdict FROM machines"))

    def broken(self, machine):
        return self.engine.execute("SELECT seq, what FROM broken WHERE machine = ? ORDER BY ALL", [machine]).fetchall()

    def close(self):
        self.engine.close()


class ClickHouse:
    """One session a process is all that the embedded build allows."""

    def __init__(self, folder, fleet):
        self.engine = chdb.session.Session(os.path.join(folder, "fleet.clickhouse"))
        for statement in statements("clickhouse.sql", os.path.join(folder, fleet)):
            self.engine.query(statement)

    def ask(self, query):
        text = str(self.engine.query(query.replace("FROM ", "FROM dom0pci."), "JSONCompactEachRow"))
        return [tuple(json.loads(line)) for line in text.splitlines()]

    def keep(self, kept):
        self.engine.query("INSERT INTO dom0pci.kept VALUES " + ",".join(f"('{m}', {s}, '{h}')" for m, s, h in kept))

    def verdicts(self):
        return dict(self.ask("SELECT machine, verdict FROM machines"))

    def broken(self, machine):
        return self.ask(f"SELECT seq, what FROM broken WHERE machine = '{machine}' ORDER BY seq, what")

    def close(self):
        self.engine.close()
