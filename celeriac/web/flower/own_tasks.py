"""Flower's list of tasks for somebody who sees only some of them.

Flower pages through the tasks of everybody and knows no owners. So it is asked for the newest
that fit, those of others are left out, and what is left is paged here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from celeriac.web.refusals import FlowerBrokenError

Json = Any
Fields = Sequence[tuple[str, str]]

# How many of Flower's tasks are looked through; a browser asks for at most 100 of them at a time.
LOOKED_THROUGH = 500
MOST_LIST_BYTES = 16 * 1024 * 1024
_MOST_DIGITS = 9


def question_of(fields: Fields) -> bytes:
    """Return the form that asks Flower for all that is looked through."""
    others = [(name, value) for name, value in fields if name not in ("start", "length")]
    return urlencode([*others, ("start", "0"), ("length", str(LOOKED_THROUGH))]).encode()


def tasks_in(answer: bytes) -> list[dict[str, Json]]:
    """Return the tasks in Flower's answer.

    Raises:
        FlowerBrokenError: It is none of Flower's.
    """
    try:
        rows = json.loads(answer)["data"]
        if all(isinstance(row["uuid"], str) for row in rows):
            return list(rows)
    except (ValueError, KeyError, TypeError) as error:
        raise FlowerBrokenError from error
    raise FlowerBrokenError


def page_of_own(own: Sequence[dict[str, Json]], fields: Fields) -> dict[str, Json]:
    """Return what a browser's table is told: the page it asked for, of the caller's own tasks."""
    asked = dict(fields)
    start, length = _count(asked.get("start")), _count(asked.get("length"))
    return {
        "draw": _count(asked.get("draw")),
        "data": own[start : start + length],
        "recordsTotal": len(own),
        "recordsFiltered": len(own),
    }


def _count(text: str | None) -> int:
    is_count = text is not None and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_count and text is not None else 0
