"""Python values that Celery's typed JSON does not know, in the form in which they travel."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

# What JSON itself has, by exact type: a subclass may mean more than its value.
SCALARS = frozenset({str, int, float, bool, type(None)})


def is_plain_json(value: Any) -> bool:
    """Whether a value is what reading some JSON text could have given."""
    kind = type(value)
    if kind in SCALARS:
        return True
    if kind is dict:
        return set(map(type, value)) <= {str} and _are_plain(list(value.values()))
    return kind is list and _are_plain(value)


def _are_plain(values: list[Any]) -> bool:
    # A list of 100,000 numbers is the case to be quick at: one look at its types is enough.
    return set(map(type, values)) <= SCALARS or all(map(is_plain_json, values))


def to_message(value: Any) -> Any:
    """Return a value with models, dataclasses, enums, sets, durations and paths as plain JSON.

    What Celery's typed JSON carries by itself (datetime, Decimal, UUID, bytes) stays as it is, and
    so does what nobody knows: the codec refuses it with a sentence of its own.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind in (list, tuple):
        if set(map(type, value)) <= SCALARS:
            return value
        return kind(map(to_message, value))
    if kind is dict:
        return {key: to_message(each) for key, each in value.items()}
    if kind in (set, frozenset):
        return [to_message(each) for each in value]
    if isinstance(value, Enum):
        return to_message(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, BaseModel | timedelta) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        return to_jsonable_python(value, bytes_mode="base64")
    return value
