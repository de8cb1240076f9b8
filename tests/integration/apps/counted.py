"""An app whose worker writes down what its pool's thread says to the ledger."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from celeriac import create_celery
from celeriac.ledger import libpq

app = create_celery()


@app.task(name="noop")
def noop(number: int) -> int:
    """Give back what came in."""
    return number


class CountingCursor(psycopg.Cursor[Any]):
    """A cursor that writes down what it is asked to run."""

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        note(str(query))
        return super().execute(query, *args, **options)

    def executemany(self, query: Any, params_seq: Any, *, returning: bool = False) -> None:
        rows = list(params_seq)
        for _ in rows:
            note(str(query))
        super().executemany(query, rows, returning=returning)


@event.listens_for(Engine, "connect")
def _listen(connection: Any, _record: object) -> None:
    # At the drivers: what is run often passes SQLAlchemy by.
    if isinstance(connection, sqlite3.Connection):
        connection.set_trace_callback(note_once)
    else:
        connection.cursor_factory = CountingCursor


run_by_libpq = libpq.run


def run_and_note(connection: Any, driver: Any, text: str, values: Any) -> libpq.Answer:
    """Write down a statement that passes the driver's cursors by, and run it."""
    note(text)
    return run_by_libpq(connection, driver, text, values)


libpq.run = run_and_note

_last = [""]


def note_once(statement: str) -> None:
    """Write down what SQLite runs; it says a statement again for each row that has a trigger."""
    if statement != _last[0]:
        _last[0] = statement
        note(statement)


def note(statement: str) -> None:
    """Write down what the pool's thread says."""
    if threading.current_thread().name == "celeriac-pool":
        with Path(os.environ["STATEMENTS_FILE"]).open("a", encoding="utf-8") as file:
            file.write(" ".join(statement.split())[:200] + "\n")
