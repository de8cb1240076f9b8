"""The keys by which programs sign in."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, literal_column, or_, select, update

from celeriac.core.api_key import ApiKey
from celeriac.core.moments import from_micros, to_micros
from celeriac.core.user import Scope
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import among, insert_into, words
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import api_keys

# A key that is used all the time is not written all the time.
_USE_IS_NOTED_EVERY = timedelta(hours=1)


class ApiKeys:
    """Every key that was given out. Of the keys themselves only a hash is kept."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        columns = {
            column.name: bindparam(f"new_{column.name}", type_=column.type) for column in api_keys.c
        }
        add = insert_into(database.dialect, api_keys).values(columns)
        find = select(*api_keys.c).where(among(database.dialect, api_keys.c.key_hash, "hashes"))
        of_user = (
            select(*api_keys.c)
            .where(api_keys.c.user_name == bindparam("user"))
            .order_by(api_keys.c.created_at, api_keys.c.id)
        )
        revoke = (
            update(api_keys)
            .where(api_keys.c.id == bindparam("key"), api_keys.c.revoked_at.is_(None))
            .values(revoked_at=bindparam("now"))
        )
        used = (
            update(api_keys)
            .where(
                api_keys.c.id == bindparam("key"),
                or_(
                    api_keys.c.last_used_at.is_(None),
                    api_keys.c.last_used_at < bindparam("noted"),
                ),
            )
            .values(last_used_at=bindparam("now"))
        )
        any_used = (
            select(api_keys.c.id)
            .where(api_keys.c.user_name == bindparam("user"), api_keys.c.last_used_at.is_not(None))
            .limit(literal_column("1"))
        )
        self._any_used = Statement(database, lambda: any_used)
        self._add = Statement(database, lambda: add)
        self._find = Statement(database, lambda: find)
        self._of_user = Statement(database, lambda: of_user)
        self._revoke = Statement(database, lambda: revoke)
        self._used = Statement(database, lambda: used)

    def add(self, key: ApiKey, key_hash: str) -> None:
        """Keep a new key by the SHA-256 of its text."""
        row = {
            "new_id": key.id,
            "new_user_name": key.user,
            "new_label": key.label,
            "new_prefix": key.prefix,
            "new_key_hash": key_hash,
            "new_scopes": json.dumps(sorted(key.scopes)),
            "new_task_patterns": json.dumps(sorted(key.task_patterns)),
            "new_created_at": to_micros(key.created_at),
            "new_expires_at": to_micros(key.expires_at),
            "new_last_used_at": to_micros(key.last_used_at),
            "new_revoked_at": to_micros(key.revoked_at),
        }
        self._database.write(lambda connection: self._add.count(connection, **row))

    def find_by_hash(self, key_hash: str) -> ApiKey | None:
        """Return the key whose text has this SHA-256, also a revoked or expired one."""
        return self.find_by_hashes([key_hash]).get(key_hash)

    def find_by_hashes(self, hashes: Collection[str]) -> dict[str, ApiKey]:
        """Return the keys whose texts have these SHA-256s, also revoked and expired ones."""
        wanted = words(self._database.dialect, sorted(hashes))
        rows = self._database.read(lambda connection: self._find.rows(connection, hashes=wanted))
        return {row.key_hash: _key_from_row(row) for row in rows}

    def list(self, user: str) -> tuple[ApiKey, ...]:
        """Return a user's keys, oldest first."""
        rows = self._database.read(lambda connection: self._of_user.rows(connection, user=user))
        return tuple(_key_from_row(row) for row in rows)

    def is_any_used(self, user: str) -> bool:
        """Return whether a key of a user was ever used."""
        row = self._database.read(lambda connection: self._any_used.first(connection, user=user))
        return row is not None

    def revoke(self, key_id: str) -> bool:
        """Make a key good for nothing; False when there is none or it was revoked before."""
        now = to_micros(self._clock())
        return bool(
            self._database.write(
                lambda connection: self._revoke.count(connection, key=key_id, now=now)
            )
        )

    def note_use(self, key: ApiKey) -> None:
        """Remember that a key was used, to the hour; most calls write nothing."""
        now = self._clock()
        if key.last_used_at is not None and now - key.last_used_at < _USE_IS_NOTED_EVERY:
            return
        noted = to_micros(now - _USE_IS_NOTED_EVERY)
        self._database.write(
            lambda connection: self._used.count(
                connection, key=key.id, now=to_micros(now), noted=noted
            )
        )


def _key_from_row(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        user=row.user_name,
        label=row.label,
        prefix=row.prefix,
        scopes=frozenset(Scope(each) for each in json.loads(row.scopes)),
        task_patterns=tuple(json.loads(row.task_patterns)),
        created_at=from_micros(row.created_at),
        expires_at=from_micros(row.expires_at),
        last_used_at=from_micros(row.last_used_at),
        revoked_at=from_micros(row.revoked_at),
    )
