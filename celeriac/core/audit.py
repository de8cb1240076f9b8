"""Who did what: one entry of the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act that somebody must be able to answer for later."""

    # Rises with every entry.
    id: int
    at: datetime
    # A user's name, or the program that acted by itself.
    actor: str
    # What was done, in one word of ours: "task.cancel", "user.add".
    action: str
    # To what: a task's id, a user's name.
    subject: str
    # What else is worth knowing; never a secret.
    facts: Mapping[str, str]
