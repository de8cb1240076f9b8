"""Rows of text as lines: aligned for people, with tabs for programs."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.up.report import printable


def table_lines(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, is_aligned: bool
) -> list[str]:
    """Return a line of heads and a line for each row."""
    lines = [heads, *([_cell(each) for each in row] for row in rows)]
    if not is_aligned:
        return ["\t".join(line) for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _cell(text: str) -> str:
    # One with a tab or a line's end in it would be several to a program.
    return printable(" ".join(text.splitlines()).replace("\t", " "))
