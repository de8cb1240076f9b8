"""What the end of a row brings with it, in the same transaction.

Whoever ends a row, whether a worker, a caller or the janitor, ends it here: what waited for it
fails with it, the chord it is a part of counts it, and errbacks nobody has called are sent for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    literal_column,
    null,
    select,
    update,
)

from celeriac.core.outcome import Ended
from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, Doorbell, NewTask, TaskId
from celeriac.ledger.arrivals import Arrivals, Timing
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import (
    FLAG,
    TEXT,
    WHOLE,
    Columns,
    among,
    encode,
    incoming,
    matched,
    words,
)
from celeriac.ledger.moves import Moves
from celeriac.ledger.records import text_from_error
from celeriac.ledger.statement import Batch, Given, Statement
from celeriac.ledger.tables import chords, tasks
from celeriac.ledger.verdicts import Finish, Held, Move, judge_upstream

# Names of the tasks that the ledger itself sends; the engine registers them.
FIRE_CHORD = "celeriac.fire_chord"
CALL_ERRBACKS = "celeriac.call_errbacks"
_FIRE_SUFFIX = ":fire"

# In the order of `Held`.
HELD_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(tasks.c[name] for name in Held._fields)

_FINISH_COLUMNS: Columns = {
    "id": TEXT,
    "state": TEXT,
    "result": TEXT,
    "result_codec": TEXT,
    "error": TEXT,
    "is_ignored": FLAG,
    "finished_at": WHOLE,
    "crashes": WHOLE,
    "last_token": TEXT,
    "last_ending": TEXT,
}

_FINAL_WORDS = {
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "was cancelled",
    TaskState.EXPIRED: "expired",
    TaskState.COMPLETED: "ended without going on to it",
}


@dataclass(slots=True)
class Consequences:
    """What became true in a transaction that somebody else must hear of."""

    ended: list[Ended] = field(default_factory=list)
    doorbells: list[Doorbell] = field(default_factory=list)


class Endings:
    """Ends rows and moves running ones on, inside somebody's transaction.

    The rows are held by that transaction, and their state was checked when they were taken hold of.
    """

    def __init__(self, database: Database, arrivals: Arrivals) -> None:
        dialect = self._dialect = database.dialect
        self._arrivals = arrivals
        self._finish = Batch(database, _FINISH_COLUMNS, _finish_statement)
        self._moves = Moves(database, arrivals)
        self._dependents = Statement(database, lambda: _dependents_statement(dialect))
        self._count_parts = Statement(database, lambda: _count_parts_statement(dialect))
        self._headers = Statement(database, lambda: _headers_statement(dialect))

    def settle(
        self, connection: Connection, verdicts: Iterable[Finish | Move], timing: Timing
    ) -> Consequences:
        """Write what was decided, and everything that follows from it."""
        finishes: list[Finish] = []
        moves: list[Move] = []
        for verdict in verdicts:
            if isinstance(verdict, Finish):
                finishes.append(verdict)
            else:
                moves.append(verdict)
        found = Consequences()
        if moves:
            found.doorbells += self._moves.write(connection, moves, timing)
        if finishes:
            self._write_finishes(connection, finishes, timing, found)
        return found

    def _write_finishes(
        self,
        connection: Connection,
        finishes: Sequence[Finish],
        timing: Timing,
        found: Consequences,
    ) -> None:
        everything: list[Finish] = []
        wave = list(finishes)
        while wave:
            everything += wave
            self._finish.run(connection, [_finish_row(each) for each in wave])
            wave = self._find_dependents(connection, wave, timing)
        self._arrivals.files.hold(connection, [(each.held.id, each.result) for each in everything])
        found.ended += [_ended(each) for each in everything]
        sent = self._fire_chords(connection, everything)
        sent += self._send_for_errbacks(connection, everything)
        found.doorbells += self._arrivals.put(connection, sent, timing).doorbells.values()

    def _find_dependents(
        self, connection: Connection, wave: Sequence[Finish], timing: Timing
    ) -> list[Finish]:
        causes: dict[str, Finish] = {}
        for each in wave:
            if each.state is not TaskState.COMPLETED:
                for upstream in _waited_for(each.held):
                    causes[upstream] = each
        if not causes:
            return []
        rows = self._dependents.rows(connection, upstreams=words(self._dialect, sorted(causes)))
        found = []
        for held in (Held(*row) for row in rows):
            cause = causes[held.upstream_id or ""]
            said = f"{_FINAL_WORDS[cause.state]}: {cause.held.id}"
            found.append(judge_upstream(held, said, timing, cause=cause.error))
        return found

    def _fire_chords(self, connection: Connection, finishes: Sequence[Finish]) -> list[NewTask]:
        parts = Counter(each.held.chord_id for each in finishes if each.held.chord_id is not None)
        if not parts:
            return []
        rows = encode([{"id": chord, "parts": parts[chord]} for chord in sorted(parts)])
        ids = words(self._dialect, sorted(parts))
        counted = self._count_parts.rows(connection, rows=rows, ids=ids)
        # Not only exactly 0: parts that a chord was not told of must not keep its body waiting.
        return [
            _own_task(f"{chord_id}{_FIRE_SUFFIX}", FIRE_CHORD, chord_id, queue)
            for chord_id, remaining, queue in counted
            if remaining <= 0
        ]

    def _send_for_errbacks(
        self, connection: Connection, finishes: Sequence[Finish]
    ) -> list[NewTask]:
        # Only of a task that failed itself: Celery does not call those of a revoked or expired one.
        failed = [
            each.held.id
            for each in finishes
            if each.needs_errbacks and each.state is TaskState.FAILED
        ]
        if not failed:
            return []
        return [
            _own_task(f"{task_id}:errbacks", CALL_ERRBACKS, task_id, queue)
            for task_id, queue, headers in self._headers.rows(
                connection, ids=words(self._dialect, failed)
            )
            if orjson.loads(headers).get("errbacks")
        ]


def _waited_for(held: Held) -> tuple[str, ...]:
    """Return the upstreams that end with a row: itself, and the chord whose body it should call."""
    if held.name == FIRE_CHORD and held.id.endswith(_FIRE_SUFFIX):
        return held.id, held.id.removesuffix(_FIRE_SUFFIX)
    return (held.id,)


def _own_task(task_id: str, name: str, argument: str, queue: str) -> NewTask:
    text = orjson.dumps([[argument], {}]).decode()
    return NewTask(
        id=TaskId(task_id),
        name=name,
        arguments=Arguments(codec=Codec.JSON, text=text),
        queue=queue,
        ignore_result=True,
    )


def _ended(finish: Finish) -> Ended:
    return Ended(
        task_id=finish.held.id,
        state=finish.state.value,
        result=finish.result,
        result_codec=finish.result_codec,
        error=finish.error,
    )


def _finish_row(finish: Finish) -> dict[str, object]:
    return {
        "id": finish.held.id,
        "state": finish.state.value,
        "result": finish.result,
        "result_codec": finish.result_codec.value,
        "error": text_from_error(finish.error),
        "is_ignored": finish.is_ignored,
        "finished_at": finish.finished_at,
        "crashes": finish.crashes,
        "last_token": finish.held.lease_token,
        "last_ending": finish.ending,
    }


def _finish_statement(rows: Given) -> Update:
    return (
        update(tasks)
        .where(rows.is_for(tasks.c.id))
        .values(
            **{name: rows[name] for name in _FINISH_COLUMNS if name != "id"},
            lease_token=null(),
            worker_id=null(),
            upstream_id=null(),
            version=tasks.c.version + literal_column("1"),
        )
    )


def _dependents_statement(dialect: str) -> Select[Any]:
    return (
        select(*HELD_COLUMNS)
        .where(
            tasks.c.state == literal_column("'waiting'"),
            among(dialect, tasks.c.upstream_id, "upstreams"),
        )
        .order_by(tasks.c.id)
        .with_for_update()
    )


def _count_parts_statement(dialect: str) -> Update:
    rows = incoming(dialect, {"id": TEXT, "parts": WHOLE})
    return (
        update(chords)
        .where(matched(dialect, chords.c.id, rows))
        .values(remaining=chords.c.remaining - rows.c.parts)
        .returning(chords.c.id, chords.c.remaining, chords.c.queue)
    )


def _headers_statement(dialect: str) -> Select[Any]:
    return select(tasks.c.id, tasks.c.queue, tasks.c.headers).where(
        among(dialect, tasks.c.id, "ids")
    )
