"""How the texts of settings are read.

Each takes a text and returns a value, or raises ValueError when it is none that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from celeriac.queue_names import is_queue_name

Parse = Callable[[str], Any]

_BROKERS = ("redis", "rediss", "sentinel", "amqp", "amqps", "memory")


def seconds(text: str, *, least: float = 0) -> timedelta:
    """Return a duration, of which nobody sets more than three years."""
    number = float(text)
    if not least <= number < 10**8:
        raise ValueError(text)
    return timedelta(seconds=number)


def lease_seconds(text: str) -> timedelta:
    """Return how long a lease lasts."""
    # Without a moment between two heartbeats every worker would be taken for a dead one.
    return seconds(text, least=1)


def whole(least: int, most: int) -> Parse:
    """Return what reads a whole number within bounds."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return parse


def one_of(*words: str) -> Parse:
    """Return what takes one of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse


def switch(text: str) -> bool:
    """Return whether something is on."""
    word: str = one_of("on", "off")(text)
    return word == "on"


def url(*schemes: str) -> Parse:
    """Return what takes a URL of one of some schemes."""

    def parse(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(text)
        return text

    return parse


def broker_url(text: str) -> str:
    """Return the URL of a broker, or of several."""
    url(*_BROKERS)(text)
    if text.startswith("sentinel://") and "master_name=" not in text:
        raise ValueError(text)
    # Several brokers with semicolons between them are no single URL; Celery reads them.
    if ";" not in text:
        # Raises ValueError when it is no port.
        _ = urlsplit(text).port
    return text


def flower_url(text: str) -> str:
    """Return the URL of a Flower that shows itself under `/flower`."""
    parts = urlsplit(url("http", "https")(text))
    # Raises ValueError when it is no port.
    _ = parts.port
    if not parts.hostname or parts.path.strip("/") not in ("", "flower") or parts.query:
        raise ValueError(text)
    return text


def rate(text: str) -> str:
    """Return so many in a second, a minute, an hour or a day."""
    count, _, period = text.partition("/")
    if int(count) < 1 or period not in ("second", "minute", "hour", "day"):
        raise ValueError(text)
    return text


def keys(text: str) -> tuple[str, ...]:
    """Return keys that are long enough to sign with."""
    keys = tuple(key for key in text.split(",") if key)
    if not keys or any(len(key.encode()) < 32 for key in keys):
        raise ValueError(text)
    return keys


def queue_names(text: str) -> tuple[str, ...]:
    """Return the names of queues, in their order."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or not all(map(is_queue_name, names)):
        raise ValueError(text)
    return names
