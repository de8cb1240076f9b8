"""Turning arguments, results and options into text and back.

What plain JSON can carry travels as plain JSON; what it cannot (datetime, Decimal, UUID, bytes)
as Celery's typed JSON. The two are told apart by the codec kept beside the text, so that a user's
object which merely looks like a typed value stays what it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kombu.utils import json as typed_json

from celeriac.core.task import Arguments, Codec
from celeriac.files.file import File

Json = Any


def dump(value: Json) -> tuple[Codec, str]:
    """Write a value as plain JSON, or as typed JSON where plain JSON cannot carry it.

    Raises:
        TypeError: Neither of them can.
    """
    try:
        return Codec.JSON, _encode(value)
    except TypeError:
        return Codec.TYPED, dump_typed(value)


def _reference(value: Any) -> Json:
    if isinstance(value, File):
        return value.to_json()
    raise TypeError(f"{type(value).__qualname__} is no plain JSON")


# Made once: `json.dumps` makes an encoder for each call that wants no spaces.
_encode = json.JSONEncoder(separators=(",", ":"), default=_reference).encode


def load(codec: str, text: str) -> Json:
    """Read what `dump` wrote, with the word for how."""
    return _loads(text) if codec == Codec.JSON else load_typed(text)


_scan: Callable[[str, int], tuple[Json, int]]
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined] # typeshed leaves it out


def _loads(text: str) -> Json:
    # `json.loads` without its search for blanks around the value, which takes longer than to read
    # a short one. What is unusual it says itself.
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else json.loads(text)


def dump_typed(value: Json) -> str:
    """Write a value as Celery's typed JSON.

    Raises:
        TypeError: It holds something that typed JSON cannot carry.
    """
    return str(typed_json.dumps(value))


def load_typed(text: str) -> Json:
    """Read Celery's typed JSON."""
    return typed_json.loads(text)


def dump_arguments(args: Any, kwargs: Any) -> Arguments:
    """Write what a task function is called with.

    Raises:
        TypeError: An argument cannot be carried by JSON, plain or typed.
    """
    codec, text = dump([list(args), dict(kwargs)])
    return Arguments(codec=codec, text=text)


def load_arguments(arguments: Arguments) -> tuple[list[Json], dict[str, Json]]:
    """Read what `dump_arguments` wrote."""
    args, kwargs = load(arguments.codec, arguments.text)
    return args, kwargs


def storable(text: str) -> str:
    """Return a text without what no database and no wire takes: NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        # Nearly every text of nearly every task.
        return text
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
