"""An app whose worker writes down what its pool's thread says to the ledger."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from celeriac import create_celery

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


@event.listens_for(Engine, "connect")
def _listen(connection: Any, _record: object) -> None:
    # At the drivers: what is run often passes SQLAlchemy by.
    if isinstance(connection, sqlite3.Connection):
        connection.set_trace_callback(note)
    else:
        connection.cursor_factory = CountingCursor


_last = [""]


def note(statement: str) -> None:
    """Write down what the pool's thread says; SQLite says it again for each row with a trigger."""
    if threading.current_thread().name == "celeriac-pool" and statement != _last[0]:
        _last[0] = statement
        with Path(os.environ["STATEMENTS_FILE"]).open("a", encoding="utf-8") as file:
            file.write(" ".join(statement.split())[:200] + "\n")
