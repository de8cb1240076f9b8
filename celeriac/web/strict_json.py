"""Reading JSON from strangers: what two readers could understand differently is refused."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from celeriac.errors import FieldProblem
from celeriac.web.refusals import BrokenBodyError, InvalidBodyError

Json = Any

MOST_DEPTH = 64
# More than any number in use has; far fewer than what would keep a core busy.
MOST_DIGITS = 1000


def parse_strict(body: bytes) -> Json:
    """Return the value of a JSON text in UTF-8.

    Raises:
        BrokenBodyError: It is no JSON.
        InvalidBodyError: It is nested deeper than 64, names a key twice in one object, or holds
            NaN, Infinity, a number that no double holds, one of more than 1,000 digits, NUL or a
            lone surrogate.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except RecursionError:
        raise _invalid(f"nested deeper than {MOST_DEPTH}") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise BrokenBodyError("JSON") from None
    # As many brackets as levels at least: most bodies need no walk.
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH:
        _check_depth(value)
    # Raw NUL is no JSON and raw surrogates are no UTF-8, so both can only come escaped.
    if b"\\u" in body:
        _check_texts(value)
    return value


def _invalid(detail: str) -> InvalidBodyError:
    return InvalidBodyError(FieldProblem(pointer="", detail=detail))


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
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


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    if any(isinstance(each, (dict, list)) for each in level):
        raise _invalid(f"nested deeper than {MOST_DEPTH}")


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
