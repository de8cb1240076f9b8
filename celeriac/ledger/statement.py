"""A statement that is written in SQLAlchemy's words once and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.sql.elements import CompilerElement

from celeriac.ledger.database import Database


class Statement:
    """A compiled statement: a run costs the driver's time and nothing more.

    Built at its first run, so that a program pays only for what it uses. Values go in and come out
    as the database has them, without SQLAlchemy's type processing.
    """

    __slots__ = ("_build", "_database", "_fixed", "_names", "_text")

    def __init__(self, database: Database, build: Callable[[], CompilerElement]) -> None:
        self._database = database
        self._build = build
        self._text = ""
        # Values that stand in the statement itself.
        self._fixed: dict[str, Any] = {}
        # In which order the driver wants them; None when it takes them by name.
        self._names: tuple[str, ...] | None = None

    def rows(self, connection: Connection, **values: Any) -> Sequence[Any]:
        """Run it and return all its rows."""
        return self._run(connection, values).fetchall()

    def first(self, connection: Connection, **values: Any) -> Any:
        """Run it and return its first row, None when there is none."""
        return self._run(connection, values).fetchone()

    def count(self, connection: Connection, **values: Any) -> int:
        """Run it and return how many rows it changed."""
        return self._run(connection, values).rowcount

    def _run(self, connection: Connection, values: dict[str, Any]) -> CursorResult[Any]:
        if not self._text:
            self._compile()
        given = {**self._fixed, **values}
        if self._names is None:
            return connection.exec_driver_sql(self._text, given)
        return connection.exec_driver_sql(self._text, tuple(given[name] for name in self._names))

    def _compile(self) -> None:
        compiled: Any = self._build().compile(dialect=self._database.engine.dialect)
        self._fixed = {key: value for key, value in compiled.params.items() if value is not None}
        if compiled.positiontup is not None:
            self._names = tuple(compiled.positiontup)
        # Last: another thread that sees the text may use the names at once.
        self._text = str(compiled)
