"""Values as people read them: moments, lengths, sizes, JSON, names. Pure functions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

Json = Any

_LINE = 88
# Deeper than this nobody reads by indentation.
_DEEPEST = 40
_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_ENDS_OF_WORDS = re.compile(r"([._:/-])(?=.)")
_TASK_TYPES = Markup('<a href="/ui/submit">Submit a task</a>')
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment as it is shown: told from now, exact on request."""

    iso: str
    exact: str
    ago: str


def moment(at: datetime, *, now: datetime) -> Moment:
    """Return a moment as it is shown."""
    age = now - at
    ago = f"in {whole_length(-age)}" if age < timedelta(0) else f"{whole_length(age)} ago"
    return Moment(
        iso=at.isoformat(),
        exact=f"{at:%Y-%m-%d %H:%M:%S} UTC",
        ago="now" if abs(age) < timedelta(seconds=1) else ago,
    )


def length(duration: timedelta) -> str:
    """Return a duration by its largest unit or two: 850 ms, 12 s, 3 min, 2 h 5 min."""
    seconds = max(0.0, duration.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return whole_length(duration)


def whole_length(duration: timedelta) -> str:
    """Return a duration that goes on while one looks at it: by whole seconds, at least one."""
    whole = max(1, int(duration.total_seconds()))
    for index, (size, unit) in enumerate(_STEPS[:-1]):
        if whole >= size:
            next_size, next_unit = _STEPS[index + 1]
            rest = whole % size // next_size
            is_fine = rest and unit != "min"
            return f"{whole // size} {unit}" + (f" {rest} {next_unit}" if is_fine else "")
    return f"{whole} s"


def size(count: int) -> str:
    """Return a number of bytes by its largest unit: 84 bytes, 84 kB, 1.2 MB."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    if count < 999_500:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB" if count < 999_950_000 else f"{count / 10**9:.1f} GB"


def readable(value: Json) -> str:
    """Return a JSON value for people to read: a text as it is, the rest indented."""
    return clean(value if isinstance(value, str) else to_lines(value))


def to_lines(value: Json, *, indent: int = 0) -> str:
    """Return a JSON value as text: what fits on a line stands on one."""
    # The whole of an object is easier to read when each name has a line of its own.
    is_split = bool(value) and isinstance(value, dict) and not indent
    line = json.dumps(value, ensure_ascii=False)
    is_whole = not value or not isinstance(value, dict | list) or indent >= _DEEPEST
    if is_whole or (indent + len(line) <= _LINE and not is_split):
        return line
    inner, margin = indent + 2, " " * (indent + 2)
    if isinstance(value, dict):
        items = [
            f"{json.dumps(name, ensure_ascii=False)}: {to_lines(each, indent=inner)}"
            for name, each in value.items()
        ]
        opening, closing = "{", "}"
    else:
        items = [to_lines(each, indent=inner) for each in value]
        opening, closing = "[", "]"
    body = ",\n".join(f"{margin}{item}" for item in items)
    return f"{opening}\n{body}\n{' ' * indent}{closing}"


def clean(text: str) -> str:
    """Return a text that UTF-8 can carry."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def breakable(name: str) -> Markup:
    """Return a name that may go on in the next line after a dot, rather than within a word."""
    return Markup(_ENDS_OF_WORDS.sub(r"\1<wbr>", str(escape(name))))  # noqa: S704 - escaped


def with_code(text: str) -> Markup:
    """Return a sentence with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def as_on_a_page(text: str) -> Markup:
    """Return what helps against an error, with a link for the call that a page replaces."""
    return with_code(text).replace("GET /task-types", _TASK_TYPES)
