"""What is compared: each row names two contenders, a figure, and where we must stand."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# By contender, by figure: one value per round.
Seen = Mapping[str, Sequence[Mapping[str, float]]]


class Bound(StrEnum):
    """Which way a row's `must` binds the ratio, or our own figure where there is no other."""

    LEAST = "at least"
    MOST = "at most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison."""

    name: str
    # Which measurement it comes from; rows of one measurement share its rounds.
    measurement: str
    ours: str
    theirs: str | None = None
    figure: str = "tasks_per_second"
    # Without one the row is for the reader alone.
    must: float | None = None
    goal: float | None = None
    bound: Bound = Bound.LEAST

    @property
    def contenders(self) -> tuple[str, ...]:
        """Who has to play, theirs first."""
        return (self.ours,) if self.theirs is None else (self.theirs, self.ours)

    def judge(self, seen: Seen) -> dict[str, Any]:
        """Return the row as it stands in the JSON."""
        runs = {
            side: [each[self.figure] for each in seen[contender]]
            for side, contender in (("ours", self.ours), ("theirs", self.theirs))
            if contender is not None
        }
        ours = statistics.median(runs["ours"])
        theirs = statistics.median(runs["theirs"]) if "theirs" in runs else None
        ratio = None if theirs is None else ours / theirs
        return {
            "row": self.name,
            "ours": ours,
            "theirs": theirs,
            "ratio": ratio,
            "unit": UNITS[self.figure],
            "must": self.must,
            "goal": self.goal,
            "met": None if self.must is None else self._holds(ours if ratio is None else ratio),
            "runs": runs,
            "bound": self.bound,
            "contenders": {"ours": self.ours, "theirs": self.theirs},
        }

    def _holds(self, compared: float) -> bool:
        bound = self.must or 0
        return compared >= bound if self.bound is Bound.LEAST else compared <= bound


UNITS = {
    "tasks_per_second": "tasks/s",
    "requests_per_second": "requests/s",
    "cpu_per_thousand": "CPU s per 1,000",
    "with_servers_cpu_per_thousand": "CPU s per 1,000",
    "p50_ms": "ms",
    "p99_ms": "ms",
    "seconds": "s",
    "cpu_seconds": "CPU s",
    "megabytes": "MB",
}


def _rows_of(ledger: str) -> list[Row]:
    """Return the rows that both ledgers have, with what is asked of this one."""
    ours = f"ours-{ledger}"
    is_sqlite = ledger == "sqlite"

    def row(name: str, measurement: str, theirs: str | None, **facts: Any) -> Row:
        return Row(
            name=f"{name}-{ledger}", measurement=measurement, ours=ours, theirs=theirs, **facts
        )

    most = Bound.MOST
    return [
        row("drain", "drain", "stock", must=10 if is_sqlite else 8, goal=20 if is_sqlite else 16),
        row("drain-events", "drain-events", "stock", must=6, goal=12),
        row("drain-mixed", "drain-mixed", "stock"),
        row("drain-huey", "drain", "huey", must=1.5, goal=3),
        row(
            *("drain-bullmq", "drain", "bullmq"),
            must=0.7 if is_sqlite else 0.4,
            goal=1.2 if is_sqlite else 0.8,
        ),
        *(row(f"drain-{peer}", "drain", peer) for peer in ("dramatiq", "taskiq", "rq", "arq")),
        row(
            *("cpu", "drain", "stock"),
            figure="cpu_per_thousand", must=1 / 10, goal=1 / 20, bound=most,
        ),
        row(
            *("cpu-with-servers", "drain", "stock"),
            figure="with_servers_cpu_per_thousand", bound=most,
        ),
        row(
            *("submit-celery", "submit", "fastapi-celery"),
            figure="requests_per_second", must=5, goal=9,
        ),
        row(
            *("submit-celery-p99", "submit", "fastapi-celery"),
            figure="p99_ms", must=1, bound=most,
        ),
        row("submit-arq", "submit", "fastapi-arq", figure="requests_per_second", must=1.5, goal=3),
        row(
            *("batch", "batch", None),
            must=15_000, goal=30_000,
        ),
        row("idle-p50", "ask", "stock", figure="p50_ms", must=1.5, goal=0.7, bound=most),
        row("idle-p99", "ask", "stock", figure="p99_ms", must=1.5, goal=0.7, bound=most),
        row("wait-p50", "wait", "stock", figure="p50_ms", must=1.5, goal=0.7, bound=most),
        row("wait-p99", "wait", "stock", figure="p99_ms", must=1.5, goal=0.7, bound=most),
        row(
            *("naps", "nap", None),
            figure="seconds", must=1.5, goal=1.2, bound=most,
        ),
    ]  # fmt: skip


ROWS: tuple[Row, ...] = (
    *_rows_of("sqlite"),
    *_rows_of("postgresql"),
    Row(
        name="submit-busy",
        measurement="busy",
        ours="ours-sqlite-busy",
        theirs="ours-sqlite-idle",
        figure="p99_ms",
        must=4,
        goal=2,
        bound=Bound.MOST,
    ),
    *(
        Row(
            name=name,
            measurement=measurement,
            ours="ours-sqlite",
            figure=figure,
            must=must,
            goal=goal,
            bound=Bound.MOST,
        )
        for name, measurement, figure, must, goal in (
            ("start", "start", "seconds", 4, 2.5),
            ("start-cpu", "start", "cpu_seconds", None, None),
            ("memory", "start", "megabytes", 450, 300),
            ("help", "help", "p50_ms", 200, 100),
        )
    ),
)
