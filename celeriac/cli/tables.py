"""Rows of text as lines: aligned for people, with tabs for programs."""

from __future__ import annotations

from collections.abc import Sequence


def table_lines(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, is_aligned: bool
) -> list[str]:
    """Return a line of heads and a line for each row."""
    lines = [heads, *rows]
    if not is_aligned:
        return ["\t".join(line) for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
