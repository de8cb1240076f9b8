"""What lies in the broker's lists, read without trusting it.

Kombu and Celery believe a message to have the right shape, and a worker ends when it has not.
"""

from __future__ import annotations

import binascii
import bz2
import lzma
import zlib
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from kombu.utils.json import loads

from celeriac.engine.doorbell import CONTENT_TYPE

_MARK = CONTENT_TYPE.encode()
# A body that is larger than this, packed or unpacked, is no message of a sane producer.
_LARGEST_BYTES = 8 * 1024 * 1024
# What reading something that is no message may raise, deep inside of kombu's decoders.
READING_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    LookupError,
    # Kombu reads decimals: `{"__type__": "decimal", "__value__": "x"}`.
    ArithmeticError,
    RecursionError,
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    binascii.Error,
)

_TEXTS = ("task", "id", "root_id", "parent_id", "group", "eta", "lang", "origin", "shadow")
_NUMBERS = ("retries", "group_index")
_UNPACKERS: dict[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lambda: lzma.LZMADecompressor(memlimit=8 * _LARGEST_BYTES),
}


def read_element(element: bytes) -> Any | None:
    """Return an element of a list as kombu's message, None when it is none."""
    if len(element) > _LARGEST_BYTES:
        return None
    doorbell = read_doorbell(element)
    if doorbell is not None:
        return doorbell
    try:
        message = loads(element.decode())
    except READING_ERRORS:
        return None
    return message if is_message(message) else None


def read_doorbell(element: bytes) -> Any | None:
    """Return an element of a list as a doorbell, None when it is something else.

    Only what is ever read of a doorbell is looked at, and kombu's own types are left alone.
    """
    if _MARK not in element or len(element) > _LARGEST_BYTES:
        return None
    try:
        message = orjson.loads(element)
        headers, delivery = message["headers"], message["properties"]["delivery_info"]
        task_id, name = headers["id"], headers["task"]
        is_sound = (
            message["content-type"] == CONTENT_TYPE
            and isinstance(delivery, dict)
            and isinstance(task_id, str)
            and isinstance(name, str)
            and bool(task_id and name)
            and "\0" not in task_id
            and "\0" not in name
        )
    except READING_ERRORS:
        return None
    return message if is_sound else None


def is_message(message: Any) -> bool:
    """Return whether something has the shape that kombu and Celery expect."""
    try:
        return _is_message(message)
    except READING_ERRORS:
        return False


def _is_message(message: Any) -> bool:
    properties, headers = message["properties"], message["headers"]
    delivery = properties["delivery_info"]
    body = message["body"]
    return (
        isinstance(body, str)
        and isinstance(headers, dict)
        and isinstance(delivery, dict)
        and isinstance(properties["delivery_tag"], str)
        and all(_is_text(message.get(name)) for name in ("content-type", "content-encoding"))
        and all(_is_text(properties.get(name)) for name in ("correlation_id", "reply_to"))
        and all(_is_text(delivery.get(name)) for name in ("exchange", "routing_key"))
        and _are_headers(headers)
        and _is_unpacked_small(
            _decoded(body, properties.get("body_encoding")), headers.get("compression")
        )
    )


def _decoded(body: str, encoding: Any) -> bytes:
    # Kombu's own decoder skips what is no base64, and knows no other encoding.
    if encoding is not None and encoding.lower() == "base64":
        return b64decode(body, validate=True)
    if encoding is not None and encoding.lower() != "utf-8":
        raise ValueError(encoding)
    return body.encode()


def _are_headers(headers: dict[str, Any]) -> bool:
    limits = headers.get("timelimit")
    return (
        all(_is_text(headers.get(name)) for name in _TEXTS)
        and all(_is_number(headers.get(name)) for name in _NUMBERS)
        and isinstance(headers.get("expires"), str | int | float | datetime | None)
        and (limits is None or (isinstance(limits, list) and len(limits) == 2))
    )


def _is_text(value: Any) -> bool:
    if value is None:
        return True
    # No database takes a NUL; a lone surrogate raises when it is encoded.
    return isinstance(value, str) and "\0" not in value and value.encode() is not None


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int)


def _is_unpacked_small(packed: bytes, compression: Any) -> bool:
    if not compression:
        return True
    # A few bytes could fill the memory: kombu unpacks whatever it is given.
    unpacker = _UNPACKERS[compression]()
    unpacked = unpacker.decompress(packed, _LARGEST_BYTES + 1)
    # Behind its end another stream may begin, which kombu would unpack too.
    return len(unpacked) <= _LARGEST_BYTES and not unpacker.unused_data
