"""What the commands show of keys: pure functions from values to lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from celeriac.cli.render import age_text
from celeriac.cli.tables import table_lines
from celeriac.core.api_key import ApiKey

Json = Any


def key_table(keys: Sequence[ApiKey], *, now: datetime, is_for_people: bool) -> list[str]:
    """Return a user's keys, a line each; never the keys themselves."""
    heads = ("ID", "LABEL", "KEY", "SCOPES", "TASKS", "STATE", "LAST USED")
    rows = [
        (
            key.id,
            key.label,
            f"{key.prefix}…",
            ",".join(sorted(key.scopes)),
            ",".join(key.task_patterns) or "all",
            key_state(key, now=now),
            _use_text(key.last_used_at, now=now, is_for_people=is_for_people),
        )
        for key in keys
    ]
    return table_lines(heads, rows, is_aligned=is_for_people)


def _use_text(at: datetime | None, *, now: datetime, is_for_people: bool) -> str:
    if at is None:
        return "never"
    return f"{age_text(now - at)} ago" if is_for_people else at.isoformat()


def key_facts(key: ApiKey, *, now: datetime) -> dict[str, Json]:
    """Return a key as JSON; never the key itself."""
    return {
        "id": key.id,
        "user": key.user,
        "label": key.label,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "task_patterns": list(key.task_patterns),
        "state": key_state(key, now=now),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
    }


def key_state(key: ApiKey, *, now: datetime) -> str:
    """Return whether a key is still good, in words."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "active"
    left = key.expires_at - now
    return f"expires in {age_text(left)}" if left > timedelta(0) else "expired"
