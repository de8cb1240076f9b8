"""Stamps: what a caller writes onto tasks so that they can be found, and revoked, together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.utils.functional import maybe_list

from celeriac.engine.codec import load_typed


def wanted_stamps(headers: Any) -> dict[str, list[Any]]:
    """Return the values that are looked for by the name of the stamp.

    Args:
        headers: As Celery takes them: values by name, or `name=value` texts.
    """
    if not isinstance(headers, Mapping):
        headers = dict(each.split("=", 1) for each in headers)
    return {name: list(maybe_list(values) or ()) for name, values in headers.items()}


def bears_stamp(headers: str, wanted: Mapping[str, Any]) -> bool:
    """Return whether a task, by its headers as the ledger keeps them, bears one of some stamps."""
    stamps = load_typed(headers).get("stamps") or {}
    return any(
        value in (maybe_list(wanted[name]) or ())
        for name, values in stamps.items()
        if name in wanted
        for value in maybe_list(values) or ()
    )
