"""An app whose worker writes down what its pool's thread says to the ledger."""

import os
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from celeriac import create_celery

app = create_celery()


@app.task(name="noop")
def noop(number: int) -> int:
    """Give back what came in."""
    return number


@event.listens_for(Engine, "before_cursor_execute")
def _note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if threading.current_thread().name == "celeriac-pool":
        with Path(os.environ["STATEMENTS_FILE"]).open("a", encoding="utf-8") as file:
            file.write(" ".join(statement.split())[:200] + "\n")
