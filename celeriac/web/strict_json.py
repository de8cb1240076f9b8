"""Reading JSON from strangers: what two readers could understand differently is refused."""

from __future__ import annotations

import gc
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from celeriac.errors import FieldProblem
from celeriac.web.quick_json import DOUBTFUL, read_quickly
from celeriac.web.refusals import BrokenBodyError, InvalidBodyError

Json = Any

MOST_DEPTH = 64
# More than any number in use has; far fewer than what would keep a core busy.
MOST_DIGITS = 1000
# Is read as fast with an eye on every pair, and makes too few objects for the collector to matter.
_SMALL_BYTES = 512

_EXPONENT = re.compile(rb"[0-9][eE]")
# No double has more digits before its point.
_LONG_NUMBER = b"0" * 309
_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_PARENTHESES = bytes.maketrans(b"[{}]", b"(())")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def parse_strict(body: bytes) -> Json:
    """Return the value of a JSON text in UTF-8.

    Raises:
        BrokenBodyError: It is no JSON.
        InvalidBodyError: It is nested deeper than 64, names a key twice in one object, or holds
            NaN, Infinity, a number that no double holds, one of more than 1,000 digits, NUL or a
            lone surrogate.
    """
    if len(body) <= _SMALL_BYTES:
        return _read(body)
    with _collector_paused():
        value = read_quickly(body, most_depth=MOST_DEPTH)
        return _read(body) if value is DOUBTFUL else value


def _read(body: bytes) -> Json:
    try:
        value = _load(body)
    except RecursionError:
        raise _invalid(f"nested deeper than {MOST_DEPTH}") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise BrokenBodyError("JSON") from None
    if _is_deep(body):
        raise _invalid(f"nested deeper than {MOST_DEPTH}")
    # Raw NUL is no JSON and raw surrogates are no UTF-8, so both can only come escaped.
    if b"\\u" in body:
        _check_texts(value)
    return value


def _load(body: bytes) -> Json:
    text = body.decode("utf-8")
    # A function called for each of 500,000 numbers takes longer than all the rest.
    return (_CAREFUL if _may_be_too_large(body) else _QUICK).decode(text)


@contextmanager
def _collector_paused() -> Iterator[None]:
    # JSON makes no cycles, and looking for them after every 700 new lists took most of the time:
    # 0.4 s instead of 0.03 for a body of 350,000 empty ones.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _invalid(detail: str) -> InvalidBodyError:
    return InvalidBodyError(FieldProblem(pointer="", detail=detail))


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise _invalid(f"the key {twice[:100]!r} stands twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise _invalid(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _invalid("a number is too large")
    return number


def _short(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _invalid(f"a number has more than {MOST_DIGITS} digits")
    return int(text)


def _may_be_too_large(body: bytes) -> bool:
    # Only with an exponent or with very many digits; in a text they do no harm but to our time.
    if _EXPONENT.search(body):
        return True
    return len(body) >= len(_LONG_NUMBER) and _LONG_NUMBER in body.translate(_DIGITS)


_QUICK = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_CAREFUL = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_no_constant,
    parse_float=_finite,
    parse_int=_short,
)


def _is_deep(body: bytes) -> bool:
    """Return whether a JSON text is nested too deep, without a walk through what it says."""
    # As many brackets as levels at least: most bodies are done with here.
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return False
    brackets = _STRING.sub(b"", body).translate(_PARENTHESES, _NO_BRACKETS)
    for _ in range(MOST_DEPTH):
        if not brackets:
            return False
        # All innermost pairs at once: each round takes away one level.
        brackets = brackets.replace(b"()", b"")
    return bool(brackets)


def _check_texts(value: Json) -> None:
    level = [value]
    while level:
        for each in level:
            for text in _texts(each):
                if "\0" in text:
                    raise _invalid("a text holds the character NUL")
                if not text.isascii() and _has_lone_surrogate(text):
                    raise _invalid("a text holds half a surrogate pair")
        level = [child for each in level for child in _children(each)]


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _texts(value: Json) -> list[str]:
    if isinstance(value, str):
        return [value]
    return list(value) if isinstance(value, dict) else []


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
