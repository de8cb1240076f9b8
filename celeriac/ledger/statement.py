"""Statements that are written in SQLAlchemy's words once and compiled once."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam
from sqlalchemy.sql.elements import CompilerElement

from celeriac.ledger.database import Database
from celeriac.ledger.driver import execute
from celeriac.ledger.incoming import Columns, among, check_text, dump, encode, incoming, words


class Given(dict[str, ColumnElement[Any]]):
    """A row's columns as a statement can name them."""

    def __init__(self, columns: Mapping[str, ColumnElement[Any]], *, are_many: bool) -> None:
        super().__init__(columns)
        self._are_many = are_many

    def is_for(self, key: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return whether a table's key is the row's `id`."""
        same = key == self["id"]
        # Said twice, as in `matched`.
        return and_(among("postgresql", key, "ids"), same) if self._are_many else same


class Statement:
    """A compiled statement: a run costs the driver's time and nothing more.

    Built at its first run, so that a program pays only for what it uses. Values go in and come out
    as the database has them, without SQLAlchemy's type processing; rows are named tuples.
    """

    __slots__ = ("_build", "_database", "_fixed", "_names", "_row", "_text")

    def __init__(self, database: Database, build: Callable[[], CompilerElement]) -> None:
        self._database = database
        self._build = build
        self._text = ""
        # Values that stand in the statement itself.
        self._fixed: dict[str, Any] = {}
        # In which order the driver wants them; None when it takes them by name.
        self._names: tuple[str, ...] | None = None
        # Makes a row out of what the driver returns.
        self._row: Callable[[Sequence[Any]], Any] | None = None

    def rows(self, connection: Connection, **values: Any) -> Sequence[Any]:
        """Run it and return all its rows."""
        answer = self._run(connection, values)
        return list(map(self._maker_of(answer), answer.fetchall()))

    def first(self, connection: Connection, **values: Any) -> Any:
        """Run it and return its first row, None when there is none."""
        answer = self._run(connection, values)
        row = answer.fetchone()
        if row is None:
            return None
        made = self._maker_of(answer)(row)
        # Or the statement would go on, and keep SQLite's log from being written over.
        answer.close()
        return made

    def count(self, connection: Connection, **values: Any) -> int:
        """Run it and return how many rows it changed."""
        return int(self._run(connection, values).rowcount)

    def _run(self, connection: Connection, values: dict[str, Any]) -> Any:
        if not self._text:
            self._compile()
        given = {**self._fixed, **values}
        if self._names is None:
            return execute(connection, self._text, given)
        return execute(connection, self._text, tuple([given[name] for name in self._names]))

    def _maker_of(self, answer: Any) -> Callable[[Sequence[Any]], Any]:
        if self._row is None:
            names = [column[0] for column in answer.description]
            row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
            self._row = row._make
        return self._row

    def _compile(self) -> None:
        compiled: Any = self._build().compile(dialect=self._database.engine.dialect)
        self._fixed = {key: value for key, value in compiled.params.items() if value is not None}
        if compiled.positiontup is not None:
            self._names = tuple(compiled.positiontup)
        # Last: another thread that sees the text may use the names at once.
        self._text = str(compiled)


class Batch:
    """A statement that is run for many rows and returns none.

    PostgreSQL gets all rows as one JSON text, in one statement. SQLite takes them one by one in
    one call of its driver: to take a wide row out of a JSON text costs it more than to write it.
    """

    __slots__ = ("_build", "_columns", "_database", "_pick", "_statement", "_text")

    def __init__(
        self, database: Database, columns: Columns, build: Callable[[Given], CompilerElement]
    ) -> None:
        """Take what is needed to build the statement at its first run.

        Args:
            database: The database.
            columns: What each row has.
            build: Makes the statement of a row's columns as they can be written in it. It says
                constants as literals.
        """
        self._database = database
        self._columns = columns
        self._build = build
        self._statement = Statement(database, self._build_set)
        self._text = ""
        self._pick: Callable[[Mapping[str, object]], tuple[object, ...]] = itemgetter(*columns)

    def run(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Run it for each row.

        Raises:
            ValueError: A text among the rows cannot be kept.
        """
        if self._database.dialect == "postgresql":
            ids = [str(row["id"]) for row in rows] if "id" in self._columns else []
            self._statement.count(
                connection, rows=encode(rows), ids=words(self._database.dialect, ids)
            )
            return
        if not self._text:
            self._compile_single()
        values = [self._pick(row) for row in rows]
        check_text(dump(values), values)
        connection.exec_driver_sql(self._text, values)

    def _build_set(self) -> CompilerElement:
        rows = incoming(self._database.dialect, self._columns)
        return self._build(Given({name: rows.c[name] for name in self._columns}, are_many=True))

    def _compile_single(self) -> None:
        single = {name: bindparam(f"in_{name}", type_=kind) for name, kind in self._columns.items()}
        given = Given(single, are_many=False)
        compiled: Any = self._build(given).compile(dialect=self._database.engine.dialect)
        names = [name.removeprefix("in_") for name in compiled.positiontup]
        self._pick = itemgetter(*names)
        self._text = str(compiled)
