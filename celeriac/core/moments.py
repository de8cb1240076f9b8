"""Moments as they are kept and handed on: whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return this moment by the wall clock, aware and in UTC."""
    return datetime.now(UTC)


@overload
def to_micros(moment: datetime) -> int: ...
@overload
def to_micros(moment: datetime | None) -> int | None: ...
def to_micros(moment: datetime | None) -> int | None:
    """Return an aware moment as it is kept."""
    if moment is None:
        return None
    # Not timestamp(): a float of today has lost the last microsecond.
    return (moment - _EPOCH) // _MICROSECOND


@overload
def from_micros(micros: int) -> datetime: ...
@overload
def from_micros(micros: int | None) -> datetime | None: ...
def from_micros(micros: int | None) -> datetime | None:
    """Return a kept moment as an aware datetime in UTC."""
    if micros is None:
        return None
    return _EPOCH + timedelta(microseconds=micros)
