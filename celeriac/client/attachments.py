"""Files among the arguments of a call: told apart from JSON, opened for one request at a time."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Set
from contextlib import ExitStack
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from celeriac.core.file_names import clean_content_type, clean_name

Json = Any
# What an HTTP library sends as one part: its field, then a name, the content and its type.
Part = tuple[str, tuple[str | None, bytes | BinaryIO, str]]


def is_file(value: Any) -> bool:
    """Whether an argument is a file: a path, a `File`, or a stream of bytes; a text is none."""
    if isinstance(value, os.PathLike):
        return True
    return hasattr(value, "read") and not isinstance(value, io.TextIOBase)


def has_files(arguments: Mapping[str, Any]) -> bool:
    """Whether some of the arguments are files, or lists of files."""
    return any(any(map(is_file, _several(value))) for value in arguments.values())


def open_parts(arguments: Mapping[str, Any], stack: ExitStack) -> list[Part]:
    """Return arguments as the parts of a form; every file is read when its turn comes.

    Args:
        arguments: Files, lists of files, and JSON.
        stack: Closes what is opened here.

    Raises:
        OSError: A file cannot be opened.
    """
    parts: list[Part] = []
    for name, value in arguments.items():
        if any(map(is_file, _several(value))):
            parts += [(name, _open(each, stack)) for each in _several(value)]
        else:
            parts.append((name, (None, to_json(value), "application/json")))
    return parts


def to_json(value: Json) -> bytes:
    """Return arguments as JSON; moments, exact numbers and the like in the words of JSON.

    Raises:
        TypeError: They hold something that is none, such as a file that was opened as text.
        ValueError: They hold a number that JSON has not, such as NaN.
    """
    return json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain).encode()


def _plain(value: Any) -> Json:
    """Return what JSON has no word for as a type hint of it reads it."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        # ISO 8601, which has no days of 24 hours to argue about.
        sign = "-" if value < timedelta(0) else ""
        return f"{sign}PT{abs(value).total_seconds():.6f}S"
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Set):
        return list(value)
    said = f"an argument of the type {type(value).__name__} cannot be sent"
    if isinstance(value, bytes | bytearray | io.TextIOBase):
        said += '; where a task takes a file, give a Path or a file opened with "rb"'
    raise TypeError(said)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _open(value: Any, stack: ExitStack) -> tuple[str, BinaryIO, str]:
    known = getattr(value, "name", "")
    # A stream's name is where it lies, or the number of its handle.
    name = clean_name(known if isinstance(known, str) else "")
    content_type = clean_content_type(getattr(value, "content_type", None), name)
    if not isinstance(value, os.PathLike):
        return name, value, content_type
    return name, stack.enter_context(Path(value).open("rb")), content_type
