"""Names that requests take for a while, so that the same request a second time changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Select,
    bindparam,
    cast,
    column,
    delete,
    func,
    select,
    true,
)

from celeriac.ledger.acceptance import Names, Taken
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import TEXT, WHOLE, Columns, among, insert_into, words
from celeriac.ledger.records import TASK_COLUMNS, task_from_row
from celeriac.ledger.statement import Batch, Given, Statement
from celeriac.ledger.tables import reservations, tasks

_COLUMNS: Columns = {
    "id": TEXT,
    "fingerprint": TEXT,
    "answer": TEXT,
    "task_id": TEXT,
    "expires_at": WHOLE,
}


class Reservations:
    """Takes names, inside somebody's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        look = (
            select(reservations.c.fingerprint, reservations.c.answer, reservations.c.id.label("r"))
            .add_columns(*TASK_COLUMNS)
            .outerjoin_from(reservations, tasks, tasks.c.id == reservations.c.task_id)
            .where(
                among(dialect, reservations.c.id, "ids"),
                reservations.c.expires_at > bindparam("now"),
            )
        )
        over = select(reservations.c.id).where(_is_over()).limit(1)
        self._look = Statement(database, lambda: look)
        self._lock = Statement(database, _lock_statement)
        self._keep = Batch(database, _COLUMNS, lambda rows: _keep_statement(dialect, rows))
        self._any_over = Statement(database, lambda: over)
        self._forget = Statement(database, _forget_statement)

    def look(self, connection: Connection, ids: Collection[str], now: int) -> Names:
        """Return how names stand; what is free stays free for us until the transaction ends."""
        if not ids:
            return Names(taken={}, busy=frozenset())
        wanted = sorted(ids)
        busy = self._lock_out(connection, wanted)
        rows = self._look.rows(connection, ids=words(self._database.dialect, wanted), now=now)
        taken = {
            row[2]: Taken(
                fingerprint=row[0],
                answer=row[1],
                task=None if row[3] is None else task_from_row(row[3:]),
            )
            for row in rows
            if row[2] not in busy
        }
        return Names(taken=taken, busy=busy)

    def keep(self, connection: Connection, rows: Sequence[dict[str, object]]) -> None:
        """Take names that `look` found free."""
        if rows:
            self._keep.run(connection, sorted(rows, key=lambda row: str(row["id"])))

    def forget(self, now: int, limit: int) -> int:
        """Give names back whose time is over, at most so many; return how many there were."""
        if not self._database.read(lambda connection: self._any_over.rows(connection, now=now)):
            return 0
        return self._database.write(
            lambda connection: self._forget.count(connection, now=now, limit=limit)
        )

    def _lock_out(self, connection: Connection, ids: Sequence[str]) -> frozenset[str]:
        """Keep others from taking these names meanwhile; return those that others are taking."""
        if self._database.dialect != "postgresql":
            # SQLite has one writer, and this is it.
            return frozenset()
        # Tried, never waited for: a neighbour that is stopped half-way holds up nobody else.
        keys = {_lock_key(each): each for each in ids}
        rows = self._lock.rows(connection, keys=list(keys))
        got = {row[0] for row in rows}
        return frozenset(each for each in ids if _lock_key(each) not in got)


def _lock_key(reservation_id: str) -> int:
    # Two names of one key would only wait for each other.
    return int(reservation_id[:16], 16) - 2**63


def _lock_statement() -> Select[Any]:
    keys = func.unnest(cast(bindparam("keys"), ARRAY(BigInteger)))
    each = keys.table_valued(column("key", BigInteger), name="wanted").render_derived()
    return select(each.c.key).where(func.pg_try_advisory_xact_lock(each.c.key))


def _keep_statement(dialect: str, rows: Given) -> Insert:
    # What stands there is over, or its task is no more: `look` found the name free.
    statement = insert_into(dialect, reservations).from_select(
        list(rows), select(*rows.values()).where(true())
    )
    new = {name: statement.excluded[name] for name in _COLUMNS if name != "id"}
    return statement.on_conflict_do_update(index_elements=["id"], set_=new)


def _is_over() -> ColumnElement[bool]:
    return reservations.c.expires_at <= bindparam("now")


def _forget_statement() -> Delete:
    over = select(reservations.c.id).where(_is_over()).limit(bindparam("limit"))
    return delete(reservations).where(reservations.c.id.in_(over))
