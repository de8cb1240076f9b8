"""What was measured, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HEADS = ("row", "ours (least to most)", "theirs (least to most)", "unit", "ratio", "must", "")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return one line per row, in columns."""
    lines = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    verdict = {True: "met", False: "NOT MET", None: ""}[row["met"]]
    return (
        row["row"],
        _with_range(row["ours"], row["runs"]["ours"]),
        _with_range(row["theirs"], row["runs"].get("theirs")),
        row["unit"],
        "" if row["ratio"] is None else f"{row['ratio']:.2f}",
        "" if row["must"] is None else f"{row['bound']} {_short(row['must'])}",
        verdict,
    )


def _with_range(median: float | None, runs: Sequence[float] | None) -> str:
    if median is None or not runs:
        return ""
    return f"{_short(median)} ({_short(min(runs))} to {_short(max(runs))})"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
