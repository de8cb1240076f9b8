"""A key by which a program signs in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from celeriac.core.user import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key: enough to know it again, not enough to use it."""

    id: str
    # The user in whose name it acts.
    user: str
    # What its owner calls it.
    label: str
    # The first characters of the key, by which people tell keys apart.
    prefix: str
    # What it may do, as far as its user may.
    scopes: frozenset[Scope]
    created_at: datetime
    # The task names it may have to do with, with * and ? for any characters; empty is all of them.
    task_patterns: tuple[str, ...] = ()
    expires_at: datetime | None = None
    # By the hour: a request does not write to the ledger only to say that it came.
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
