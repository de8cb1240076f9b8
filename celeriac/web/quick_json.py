"""Reading JSON that leaves no doubt, many times faster than with an eye on every pair of it.

What is not proven to be harmless here is doubtful, and read again by who looks closely.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

Json = Any

# What a text that may be harmless is read as.
DOUBTFUL = object()

# Escapes of NUL, of a quotation mark and of a colon, and halves of surrogate pairs.
_TRICKS = re.compile(rb"\\u(?:00(?:00|22|3[aA])|[dD][89a-fA-F])")
# Any number of up to 18 digits is one of 64 bits; a longer one would become a float.
_LONG_NUMBER = b"0" * 19
_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
# How the end of a key looks: its colon stands behind its quotation mark or behind a blank.
_COLONS = (b'":', b" :", b"\t:", b"\n:", b"\r:")


def read_quickly(body: bytes, *, most_depth: int) -> Json:
    """Return the value of a JSON text in UTF-8, or that it is doubtful.

    A value that is returned is nested no deeper than allowed; its text named no key twice in one
    object and held no NUL, no half of a surrogate pair, and only numbers that were read exactly.
    """
    if b"\\u" in body and _TRICKS.search(body):
        return DOUBTFUL
    if _LONG_NUMBER in body.translate(_DIGITS):
        return DOUBTFUL
    try:
        # It refuses NaN, Infinity and what no double holds.
        value = orjson.loads(body)
        written = orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return DOUBTFUL
    if _names_a_key_twice(body, written) or _is_deep(value, most_depth):
        return DOUBTFUL
    return value


def _names_a_key_twice(body: bytes, written: bytes) -> bool:
    """Return whether a text may have more pairs than the value that was read from it has.

    Of the text every colon is counted that may be a pair's. Of the value, written without blanks,
    those behind a quotation mark: each is a pair's, or stands in a string in which it looks the
    same in the text, where it was counted too (the escapes by which it might not are refused). So
    if there are not more of the first, all pairs of the text are in the value.
    """
    return sum(map(body.count, _COLONS)) > written.count(b'":')


def _is_deep(value: Json, most_depth: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most_depth):
        if not level:
            return False
        level = [
            inner
            for each in level
            for inner in (each.values() if type(each) is dict else each)
            if type(inner) is dict or type(inner) is list
        ]
    return bool(level)
