"""What is said to the database of tasks that come into being, or out of `waiting`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Update,
    func,
    literal_column,
    null,
    select,
    true,
    update,
)

from celeriac.core.task import Codec
from celeriac.ledger.incoming import (
    TEXT,
    WHOLE,
    Columns,
    by_id,
    incoming,
    insert_into,
    matched,
)
from celeriac.ledger.records import NEW_TASK_COLUMNS
from celeriac.ledger.statement import Given
from celeriac.ledger.tables import chords, tasks

BORN_COLUMNS: Columns = {**NEW_TASK_COLUMNS, "created_at": WHOLE}
CHORD_COLUMNS: Columns = {
    "id": TEXT,
    "size": WHOLE,
    "body": TEXT,
    "queue": TEXT,
    "created_at": WHOLE,
}

# What a waiting row waits for, and where its end counts.
_COUNTS_IN: Columns = {"chord_id": TEXT, "group_id": TEXT, "group_index": WHOLE}
_HANGS_BY: Columns = {"upstream_id": TEXT, **_COUNTS_IN}

# What a task that comes out of `waiting` takes from its continuation, whatever it had before.
_TAKEN = (
    "name",
    "queue",
    "priority",
    "state",
    "codec",
    "arguments",
    "headers",
    "retries",
    "max_crashes",
    "not_before",
    "queued_at",
    "ring_due_at",
    "at_most_once",
    "ignore_result",
)
# What it keeps when its continuation does not know better: a child knows little of who asked.
_KEPT = (
    "max_attempts",
    "expires_at",
    "root_id",
    "parent_id",
    "group_id",
    "group_index",
    "chord_id",
    "retry_of",
    "submitted_by",
    "timeout_seconds",
    "soft_timeout_seconds",
)


def insert_statement(dialect: str, rows: Given) -> Insert:
    """Return what inserts new tasks and leaves alone those whose ids are known."""
    born: dict[str, ColumnElement[Any]] = {
        "version": literal_column("1"),
        "attempt": literal_column("0"),
        "crashes": literal_column("0"),
        "rings": literal_column("0"),
        "result_codec": literal_column(f"'{Codec.JSON.value}'"),
        "is_ignored": literal_column("FALSE"),
    }
    # Without its WHERE, SQLite would take ON CONFLICT for the ON of a join.
    chosen = select(*rows.values(), *born.values()).where(true())
    statement = insert_into(dialect, tasks).from_select([*rows, *born], chosen)
    statement = statement.on_conflict_do_nothing()
    # SQLite gives what it returns row by row, and the interpreter away with each.
    return statement.returning(tasks.c.id) if dialect == "postgresql" else statement


def continue_statement(dialect: str) -> Update:
    """Return what wakes waiting tasks with what their continuations say."""
    rows = incoming(dialect, NEW_TASK_COLUMNS)
    kept = {name: func.coalesce(rows.c[name], tasks.c[name]) for name in _KEPT}
    return (
        update(tasks)
        .where(
            matched(dialect, tasks.c.id, rows), by_id(tasks.c.state == literal_column("'waiting'"))
        )
        .values(
            **{name: rows.c[name] for name in _TAKEN},
            **kept,
            upstream_id=null(),
            rings=literal_column("0"),
            version=tasks.c.version + literal_column("1"),
        )
        .returning(tasks.c.id)
    )


def rehang_statement(dialect: str) -> Update:
    """Return what has waiting tasks wait for something else."""
    rows = incoming(dialect, {"id": TEXT, **_HANGS_BY})
    return (
        update(tasks)
        .where(
            matched(dialect, tasks.c.id, rows), by_id(tasks.c.state == literal_column("'waiting'"))
        )
        .values(
            upstream_id=rows.c.upstream_id,
            # Whoever sends it again need not know that its end counts somewhere.
            **{name: func.coalesce(rows.c[name], tasks.c[name]) for name in _COUNTS_IN},
        )
        .returning(tasks.c.id)
    )


def chords_statement(dialect: str, rows: Given) -> Insert:
    """Return what inserts chords, none of whose parts has ended."""
    chosen = select(*rows.values(), rows["size"]).where(true())
    statement = insert_into(dialect, chords).from_select([*rows, "remaining"], chosen)
    return statement.on_conflict_do_nothing()
