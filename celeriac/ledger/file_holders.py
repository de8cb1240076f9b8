"""Who holds on to which file: every task, and every chord, whose row speaks of it.

Written with the row, in its transaction. A row goes without asking anybody; what it held is found
out by a sweep, so that whoever deletes tasks need not know of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Insert, Select, delete, or_, select, true

from celeriac.core.file_reference import MARK, FileId, find_file_ids
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import TEXT, Columns, among, insert_into, words
from celeriac.ledger.statement import Batch, Given, Statement
from celeriac.ledger.tables import chords, file_holders, tasks

_COLUMNS: Columns = {"file_id": TEXT, "holder_id": TEXT}


class FileHolders:
    """Keeps account of files, inside somebody's transaction."""

    def __init__(self, database: Database) -> None:
        dialect = self._dialect = database.dialect
        self._hold = Batch(database, _COLUMNS, lambda rows: _hold_statement(dialect, rows))
        self._held = Statement(database, lambda: _held_statement(dialect))
        self._release = Statement(database, lambda: _release_statement(dialect))

    def hold(self, connection: Connection, texts: Iterable[tuple[str, str | None]]) -> None:
        """Have rows hold on to the files they speak of.

        Args:
            connection: Of the transaction.
            texts: JSON texts, each beside the id of the row in which it stands.
        """
        found = {
            (each, holder)
            for holder, text in texts
            # Looked at here as well: a call for each row of each batch would be felt.
            if text is not None and MARK in text
            for each in find_file_ids(text)
        }
        if found:
            rows = [{"file_id": each, "holder_id": holder} for each, holder in sorted(found)]
            self._hold.run(connection, rows)

    def held(self, connection: Connection, ids: Sequence[FileId]) -> set[FileId]:
        """Return those files that some row holds on to."""
        rows = self._held.rows(connection, ids=words(self._dialect, ids))
        return {FileId(row[0]) for row in rows}

    def release(self, connection: Connection, ids: Sequence[FileId]) -> None:
        """Forget who held on to files."""
        self._release.count(connection, ids=words(self._dialect, ids))


def _hold_statement(dialect: str, rows: Given) -> Insert:
    # Without its WHERE, SQLite would take ON CONFLICT for the ON of a join.
    chosen = select(*rows.values()).where(true())
    statement = insert_into(dialect, file_holders).from_select([*rows], chosen)
    return statement.on_conflict_do_nothing()


def _held_statement(dialect: str) -> Select[Any]:
    return (
        select(file_holders.c.file_id)
        .where(among(dialect, file_holders.c.file_id, "ids"), _has_holder())
        .distinct()
    )


def _release_statement(dialect: str) -> Delete:
    return delete(file_holders).where(among(dialect, file_holders.c.file_id, "ids"))


def _has_holder() -> ColumnElement[bool]:
    holder = file_holders.c.holder_id
    return or_(
        select(tasks.c.id).where(tasks.c.id == holder).exists(),
        select(chords.c.id).where(chords.c.id == holder).exists(),
    )
