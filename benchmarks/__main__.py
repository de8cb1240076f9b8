"""`python run.py bench`: every row, side by side."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.drains import Drains
from benchmarks.environments import MissingProgramError
from benchmarks.report import table
from benchmarks.rows import ROWS, Row
from benchmarks.stand import Stand
from benchmarks.starts import Helps, Starts
from benchmarks.submits import Batches, Busy, Submits
from benchmarks.waits import Asks, Naps, Waits
from tests.servers.processes import ProcessFailedError

Measurement = Callable[[str], dict[str, float]]

# Most tasks are short and some are not; two children sleep 1.7 s over 1,000 of these.
_MIXED_SECONDS = (0.0, 0.001, 0.001, 0.002, 0.0, 0.005, 0.001, 0.002, 0.002, 0.02)


def measurements(stand: Stand, *, tasks: int, seconds: float) -> Mapping[str, Measurement]:
    """Return everything that rows are made from."""
    mixed = [_MIXED_SECONDS[number % len(_MIXED_SECONDS)] for number in range(tasks // 4)]
    return {
        "drain": Drains(stand, name="noop", values=[1] * tasks),
        "drain-events": Drains(stand, name="noop", values=[1] * tasks, is_watched=True),
        "drain-mixed": Drains(stand, name="work", values=mixed),
        "submit": Submits(stand, seconds=seconds),
        "batch": Batches(stand, seconds=seconds),
        "busy": Busy(stand, seconds=seconds, tasks=tasks * 2),
        "ask": Asks(stand, count=min(300, tasks)),
        "wait": Waits(stand, count=min(300, tasks)),
        "start": Starts(stand),
        "help": Helps(count=10),
        "nap": Naps(stand, count=min(1000, tasks), seconds=1),
    }


def play(
    rows: Sequence[Row], measurements: Mapping[str, Measurement], *, runs: int
) -> list[dict[str, object]]:
    """Run all contenders in turn, so many times, and judge the rows."""
    judged = []
    for name in dict.fromkeys(row.measurement for row in rows):
        asked = [row for row in rows if row.measurement == name]
        contenders = dict.fromkeys(each for row in asked for each in row.contenders)
        seen: dict[str, list[dict[str, float]]] = {each: [] for each in contenders}
        failed: dict[str, str] = {}
        for number in range(runs):
            for contender in contenders:
                if contender in failed:
                    continue
                _say(f"{name} {number + 1}/{runs} {contender}: ", end="")
                try:
                    figures = measurements[name](contender)
                except (ProcessFailedError, MissingProgramError, AssertionError) as error:
                    failed[contender] = str(error)
                    _say(f"failed: {error}")
                    continue
                seen[contender].append(figures)
                _say(", ".join(f"{figure} {value:,.3f}" for figure, value in figures.items()))
        judged += [row.judge(seen) for row in asked if not failed.keys() & set(row.contenders)]
    return judged


def _say(text: str, *, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the rows that are asked for and print a table."""
    by_name = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser(
        prog="run.py bench", description=__doc__, epilog=f"Rows: {', '.join(by_name)}."
    )
    parser.add_argument(
        "--only", nargs="+", metavar="ROW", choices=by_name, default=list(by_name),
        help="these rows alone",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=5, help="rounds; each contender plays once in")
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks of a drain")
    parser.add_argument("--seconds", type=float, default=5, help="how long a server is loaded")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save what was measured")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the drains")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, Stand(Path(folder)) as stand:
        played = measurements(stand, tasks=asked.tasks, seconds=asked.seconds)
        rows = play([by_name[name] for name in asked.only], played, runs=asked.runs)
    sys.stdout.write(table(rows) + "\n")
    for file, text in ((asked.json, json.dumps({"rows": rows}, indent=2)), (asked.svg, draw(rows))):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
    # Asked for and not measured is no success.
    return 0 if len(rows) == len(asked.only) else 1


if __name__ == "__main__":
    raise SystemExit(main())
