"""The audit trail: who did what. Entries are added and read, never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, insert, or_, select

from celeriac.core.audit import AuditEntry
from celeriac.core.moments import from_micros, to_micros
from celeriac.ledger.database import Database
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import audit


class Audit:
    """Every act that somebody must be able to answer for."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        names = ("at", "actor", "action", "subject", "facts")
        add = insert(audit).values({name: bindparam(f"new_{name}") for name in names}).inline()
        before = bindparam("before", type_=audit.c.id.type)
        newest = (
            select(*audit.c)
            .where(or_(before.is_(None), audit.c.id < before))
            .order_by(audit.c.id.desc())
            .limit(bindparam("limit", type_=audit.c.id.type))
        )
        self._add = Statement(database, lambda: add)
        self._newest = Statement(database, lambda: newest)

    def add(
        self, actor: str, action: str, subject: str, facts: Mapping[str, str] | None = None
    ) -> None:
        """Remember an act.

        Args:
            actor: A user's name, or the program that acted by itself.
            action: What was done: "task.cancel", "user.add".
            subject: To what: a task's id, a user's name.
            facts: What else is worth knowing; never a secret.
        """
        row = {
            "new_at": to_micros(self._clock()),
            "new_actor": _sound(actor),
            "new_action": _sound(action),
            "new_subject": _sound(subject),
            "new_facts": orjson.dumps(
                {_sound(key): _sound(value) for key, value in (facts or {}).items()}
            ).decode(),
        }
        self._database.write(lambda connection: self._add.count(connection, **row))

    def list(self, *, before: int | None = None, limit: int = 100) -> tuple[AuditEntry, ...]:
        """Return entries, newest first.

        Args:
            before: Only those older than the entry of this id; None begins at the newest.
            limit: At most so many.
        """
        rows = self._database.read(
            lambda connection: self._newest.rows(connection, before=before, limit=limit)
        )
        return tuple(_entry_from_row(row) for row in rows)


def _sound(text: str) -> str:
    # What was tried with a broken name must be remembered too, not refused.
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _entry_from_row(row: Any) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=from_micros(row.at),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        facts=orjson.loads(row.facts),
    )
