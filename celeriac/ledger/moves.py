"""Running rows that go on: to their next attempt, or to wait for what took their place."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    Insert,
    Update,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from celeriac.core.moments import to_micros
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell
from celeriac.ledger.arrivals import Arrivals, Timing
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import TEXT, WHOLE, Columns
from celeriac.ledger.records import text_from_error
from celeriac.ledger.statement import Batch, Given
from celeriac.ledger.tables import attempts, tasks
from celeriac.ledger.verdicts import Move

# What a move sets, and what it sets only when the task is sent again as another one.
_MOVED: Columns = {
    "state": TEXT,
    "attempt": WHOLE,
    "crashes": WHOLE,
    "queued_at": WHOLE,
    "ring_due_at": WHOLE,
    "not_before": WHOLE,
    "upstream_id": TEXT,
}
_RESENT: Columns = {
    "name": TEXT,
    "queue": TEXT,
    "priority": WHOLE,
    "codec": TEXT,
    "arguments": TEXT,
    "headers": TEXT,
    "retries": WHOLE,
    "expires_at": WHOLE,
}
_MOVE_COLUMNS: Columns = {"id": TEXT, **_MOVED, **_RESENT}

_ATTEMPT_COLUMNS: Columns = {
    "task_id": TEXT,
    "number": WHOLE,
    "lease_token": TEXT,
    "worker": TEXT,
    "started_at": WHOLE,
    "finished_at": WHOLE,
    "ending": TEXT,
    "error": TEXT,
}


class Moves:
    """Moves running rows on, inside somebody's transaction that holds them."""

    def __init__(self, database: Database, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._move = Batch(database, _MOVE_COLUMNS, _move_statement)
        self._remember = Batch(database, _ATTEMPT_COLUMNS, _remember_statement)

    def write(
        self, connection: Connection, moves: Sequence[Move], timing: Timing
    ) -> list[Doorbell]:
        """Write what was decided; return the doorbells of what is queued again."""
        self._move.run(connection, [_move_row(move, timing) for move in moves])
        resent = [move.resend for move in moves if move.resend is not None]
        self._arrivals.hold_files(connection, resent)
        begun = [_attempt_row(move) for move in moves if move.ending is not None]
        if begun:
            self._remember.run(connection, begun)
        return [_doorbell(move) for move in moves if move.state is TaskState.QUEUED]


def _doorbell(move: Move) -> Doorbell:
    known = move.held if move.resend is None else move.resend
    return Doorbell(
        task_id=move.held.id, name=known.name, queue=known.queue, priority=known.priority
    )


def _move_row(move: Move, timing: Timing) -> dict[str, object]:
    is_queued = move.state is TaskState.QUEUED
    row: dict[str, object] = dict.fromkeys(_MOVE_COLUMNS)
    row |= {
        "id": move.held.id,
        "state": move.state.value,
        "attempt": move.held.attempt - (1 if move.ending is None else 0),
        "crashes": move.crashes,
        "queued_at": timing.micros if is_queued else None,
        "ring_due_at": timing.ring_due_at if is_queued else None,
    }
    resend = move.resend
    if resend is not None:
        row |= {
            "name": resend.name,
            "queue": resend.queue,
            "priority": resend.priority,
            "codec": resend.arguments.codec.value,
            "arguments": resend.arguments.text,
            "headers": resend.headers,
            "retries": resend.retries,
            "not_before": to_micros(resend.not_before),
            "expires_at": to_micros(resend.expires_at),
            "upstream_id": resend.upstream_id if move.state is TaskState.WAITING else None,
        }
    return row


def _attempt_row(move: Move) -> dict[str, object]:
    held = move.held
    return {
        "task_id": held.id,
        "number": held.attempt,
        "lease_token": held.lease_token,
        "worker": held.worker or "",
        "started_at": held.started_at,
        "finished_at": move.finished_at,
        "ending": move.ending,
        "error": text_from_error(move.error),
    }


def _move_statement(rows: Given) -> Update:
    return (
        update(tasks)
        .where(rows.is_for(tasks.c.id))
        .values(
            **{name: rows[name] for name in _MOVED},
            **{name: func.coalesce(rows[name], tasks.c[name]) for name in _RESENT},
            lease_token=null(),
            worker_id=null(),
            rings=literal_column("0"),
            version=tasks.c.version + literal_column("1"),
        )
    )


def _remember_statement(rows: Given) -> Insert:
    return insert(attempts).from_select([*rows], select(*rows.values()))
