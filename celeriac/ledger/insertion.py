"""Inserting rows that are much alike: what all of them share is said once.

New tasks that come together mostly differ in their ids and arguments alone. Said for each of them,
their thirty columns cost more to hand over than to write; and SQLite's driver gives the interpreter
away with each row it takes by itself, which beside busy threads costs more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, cast
from sqlalchemy.sql.elements import CompilerElement

from celeriac.ledger.database import Database
from celeriac.ledger.incoming import Columns, encode, incoming
from celeriac.ledger.statement import Given, Statement

Row = Mapping[str, object]

# Which columns differ is a statement of its own each time; in practice there are a few.
_MOST_STATEMENTS = 64
# Fewer rows are cheaper as one JSON text than as thirty parameters, which psycopg looks at each.
_FEW = 4


class Insertion:
    """An INSERT of many rows in one statement."""

    def __init__(
        self, database: Database, columns: Columns, build: Callable[[Given], CompilerElement]
    ) -> None:
        """Take what is needed to build statements when they are first run.

        Args:
            database: The database.
            columns: What each row has.
            build: Makes the statement of a row's columns as they can be written in it.
        """
        self._database = database
        self._columns = columns
        self._build = build
        # By the columns in which rows differ.
        self._statements: dict[tuple[str, ...], Statement] = {}

    def rows(self, connection: Connection, rows: Sequence[Row]) -> Sequence[Any]:
        """Insert rows and return what the statement returns.

        Raises:
            ValueError: A text among them cannot be kept.
        """
        shared, parts = self._split(rows)
        return self._statement(parts).rows(connection, **self._values(shared, parts))

    def count(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Insert rows and return how many of them are new.

        Raises:
            ValueError: A text among them cannot be kept.
        """
        return self.count_alike(connection, *self._split(rows))

    def count_alike(self, connection: Connection, shared: Row, parts: Sequence[Row]) -> int:
        """Insert rows of which it is known what they share; return how many of them are new.

        Args:
            connection: Of the transaction.
            shared: What all of them have; what stands in `parts` as well counts for nothing here.
            parts: Of each row what it has for itself, each the same columns.

        Raises:
            ValueError: A text among them cannot be kept.
        """
        return self._statement(parts).count(connection, **self._values(shared, parts))

    def _split(self, rows: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        if self._database.dialect == "postgresql" and len(rows) < _FEW:
            return {}, rows
        if len(rows) == 1:
            return rows[0], [{}]
        own = [name for name in self._columns if len(set(map(itemgetter(name), rows))) > 1]
        return rows[0], [{name: row[name] for name in own} for row in rows]

    def _values(self, shared: Row, parts: Sequence[Row]) -> dict[str, object]:
        said = {name: shared[name] for name in self._columns if name not in parts[0]}
        # For what it refuses: a driver alone would let a NUL pass.
        encode([said])
        return {"rows": encode(parts), **{_parameter(name): value for name, value in said.items()}}

    def _statement(self, parts: Sequence[Row]) -> Statement:
        own = tuple(parts[0])
        found = self._statements.get(own)
        if found is None:
            if len(self._statements) >= _MOST_STATEMENTS:
                self._statements.clear()
            found = Statement(self._database, lambda: self._build(self._given(own)))
            self._statements[own] = found
        return found

    def _given(self, own: Sequence[str]) -> Given:
        dialect = self._database.dialect
        rows = incoming(dialect, {name: self._columns[name] for name in own})

        def said(name: str) -> ColumnElement[Any]:
            value = bindparam(_parameter(name), type_=self._columns[name])
            return cast(value, self._columns[name]) if dialect == "postgresql" else value

        columns = {name: rows.c[name] if name in own else said(name) for name in self._columns}
        return Given(columns, are_many=True)


def _parameter(column: str) -> str:
    return f"shared_{column}"
