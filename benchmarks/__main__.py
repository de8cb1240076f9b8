"""`python run.py bench`: every row, side by side."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender, Drained, Ours, Stock, drain
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer

Row = Callable[[Path, int, int], dict[str, Any]]


def _against(
    row: str, ours: Contender, theirs: Contender, *, runs: int, tasks: int, must: float, goal: float
) -> dict[str, Any]:
    """Run two contenders in turn and compare their medians."""
    seen: dict[str, list[Drained]] = {"ours": [], "theirs": []}
    for number in range(runs):
        for side, contender, count in (("theirs", theirs, tasks // 5), ("ours", ours, tasks)):
            drained = drain(contender, count)
            seen[side].append(drained)
            _say(
                f"  {row} {number + 1}/{runs} {contender.name}: "
                f"{drained.tasks_per_second:,.0f}/s, {drained.cpu_per_thousand:.3f} CPU s per 1,000"
            )
    rates = {side: [each.tasks_per_second for each in seen[side]] for side in seen}
    cpu = {side: statistics.median(each.cpu_per_thousand for each in seen[side]) for side in seen}
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["theirs"])
    return {
        "row": row,
        "ours": statistics.median(rates["ours"]),
        "theirs": statistics.median(rates["theirs"]),
        "ratio": ratio,
        "unit": "tasks/s",
        "must": must,
        "goal": goal,
        "met": ratio >= must,
        "runs": rates,
        "cpu_per_thousand": cpu,
    }


def _drain_sqlite(folder: Path, runs: int, tasks: int) -> dict[str, Any]:
    with ValkeyServer(folder / "valkey") as broker:
        data = folder / "sqlite"
        data.mkdir()
        ours = Ours("ours on SQLite", broker.url, f"sqlite:///{data / 'ledger.db'}", data)
        theirs = Stock(broker.url)
        return _against("drain-sqlite", ours, theirs, runs=runs, tasks=tasks, must=10, goal=20)


def _drain_postgresql(folder: Path, runs: int, tasks: int) -> dict[str, Any]:
    with ValkeyServer(folder / "valkey-2") as broker, PostgresServer() as server:
        data = folder / "postgresql"
        data.mkdir()
        ours = Ours("ours on PostgreSQL", broker.url, server.create_database(), data)
        theirs = Stock(broker.url)
        return _against("drain-postgresql", ours, theirs, runs=runs, tasks=tasks, must=8, goal=16)


ROWS: dict[str, Row] = {"drain-sqlite": _drain_sqlite, "drain-postgresql": _drain_postgresql}


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the rows that are asked for and print a table."""
    parser = argparse.ArgumentParser(prog="run.py bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(ROWS), default=list(ROWS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            rows.append(ROWS[name](Path(folder), asked.runs, asked.tasks))
    for row in rows:
        least, most = min(row["runs"]["ours"]), max(row["runs"]["ours"])
        sys.stdout.write(
            f"{row['row']:<18} ours {row['ours']:,.0f} ({least:,.0f} to {most:,.0f}) "
            f"theirs {row['theirs']:,.0f} {row['unit']}  x{row['ratio']:.1f}  "
            f"must x{row['must']} {'met' if row['met'] else 'not met'}  "
            f"CPU {row['cpu_per_thousand']['ours']:.3f} / {row['cpu_per_thousand']['theirs']:.3f}\n"
        )
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
