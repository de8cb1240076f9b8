"""Results and progress as plain JSON, which every client can read."""

from __future__ import annotations

import json
import math
import re
import uuid
from typing import Any

from celeriac.core.task import Codec

Json = Any

_ENVELOPE = {"__type__", "__value__"}
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def to_plain(text: str | None, codec: Codec) -> Json:
    """Return a stored JSON text as a value that plain JSON can carry.

    A typed value (datetime, Decimal, UUID, bytes) becomes its text. NaN and the infinities, which
    Python writes and JSON does not know, become their names.
    """
    if text is None:
        return None
    if _ESCAPED_SURROGATE.search(text):
        text = _without_lone_surrogates(text)
    hook = _open_envelope if codec is Codec.TYPED else None
    return json.loads(text, object_hook=hook, parse_constant=str, parse_float=_finite)


def _open_envelope(value: dict[str, Json]) -> Json:
    if value.keys() != _ENVELOPE:
        return value
    content = value["__value__"]
    if value["__type__"] != "uuid" or not isinstance(content, dict):
        return content
    try:
        return str(uuid.UUID(**content))
    # A user's own object that only looks like ours: shown as it is.
    except (TypeError, ValueError):
        return value


def _finite(text: str) -> float | str:
    number = float(text)
    return text if math.isinf(number) else number


def _without_lone_surrogates(text: str) -> str:
    # Pairs come out of the first step as one character, so only what is alone is replaced.
    value = json.loads(text)
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
