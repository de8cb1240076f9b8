"""What is set while the service runs, for every process of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select

from celeriac.core.moments import to_micros
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import insert_into
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import settings


class StoredSettings:
    """Settings by name; their values are JSON texts."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        insert = insert_into(database.dialect, settings).values(
            name=bindparam("setting"),
            value=bindparam("new"),
            updated_at=bindparam("now"),
            updated_by=bindparam("by"),
        )
        put = insert.on_conflict_do_update(
            index_elements=[settings.c.name],
            set_={name: insert.excluded[name] for name in ("value", "updated_at", "updated_by")},
        )
        put_first = insert.on_conflict_do_nothing()
        find = select(settings.c.value).where(settings.c.name == bindparam("setting"))
        everything = select(settings.c.name, settings.c.value).order_by(settings.c.name)
        remove = delete(settings).where(settings.c.name == bindparam("setting"))
        remove_if = remove.where(settings.c.value == bindparam("known"))
        self._remove_if = Statement(database, lambda: remove_if)
        self._put = Statement(database, lambda: put)
        self._put_first = Statement(database, lambda: put_first)
        self._find = Statement(database, lambda: find)
        self._everything = Statement(database, lambda: everything)
        self._remove = Statement(database, lambda: remove)

    def find(self, name: str) -> str | None:
        """Return a setting's value, None when it is not set."""
        row = self._database.read(lambda connection: self._find.first(connection, setting=name))
        return None if row is None else str(row[0])

    def put(self, name: str, value: str, *, by: str | None = None) -> None:
        """Set a setting, whether it was set before or not."""
        now = to_micros(self._clock())
        self._database.write(
            lambda connection: self._put.count(connection, setting=name, new=value, now=now, by=by)
        )

    def put_first(self, name: str, value: str) -> str:
        """Set a setting that nobody has set yet; return what it is set to, by whomever."""
        now = to_micros(self._clock())

        def act(connection: Connection) -> str:
            self._put_first.count(connection, setting=name, new=value, now=now, by=None)
            return str(self._find.first(connection, setting=name)[0])

        return self.find(name) or self._database.write(act)

    def remove(self, name: str) -> bool:
        """Unset a setting; False when it was not set."""
        return bool(
            self._database.write(lambda connection: self._remove.count(connection, setting=name))
        )

    def remove_if(self, name: str, value: str) -> bool:
        """Unset a setting if it is set to a value; False when it was not. Of many, one succeeds."""
        return bool(
            self._database.write(
                lambda connection: self._remove_if.count(connection, setting=name, known=value)
            )
        )

    def list(self) -> dict[str, str]:
        """Return every setting that is set."""
        return {row[0]: row[1] for row in self._database.read(self._everything.rows)}
