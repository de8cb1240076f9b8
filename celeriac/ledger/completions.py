"""How a worker's outcomes are written: what it holds, and nothing else.

Most attempts end in one way: they complete, and nothing follows but their end. These are finished
in one statement. For all others it is first looked up what their rows say, and then judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Update,
    literal_column,
    select,
    union_all,
)
from sqlalchemy import update as update_of

from celeriac.core.file_reference import find_file_ids
from celeriac.core.moments import to_micros
from celeriac.core.outcome import Ended, Ending, Outcome
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, TaskId
from celeriac.ledger.arrivals import Arrivals, Timing
from celeriac.ledger.database import Database
from celeriac.ledger.endings import HELD_COLUMNS, Endings
from celeriac.ledger.exchange import Settled
from celeriac.ledger.incoming import (
    FLAG,
    TEXT,
    WHOLE,
    Columns,
    by_id,
    encode,
    encode_by_id,
    incoming,
    incoming_by_id,
    matched,
    words,
)
from celeriac.ledger.records import ended_from_row
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import attempts, tasks
from celeriac.ledger.verdicts import Held, judge


class Completions:
    """Writes outcomes, inside somebody's transaction."""

    def __init__(self, database: Database, arrivals: Arrivals, endings: Endings) -> None:
        dialect = self._dialect = database.dialect
        self._arrivals = arrivals
        self._endings = endings
        self._finish = Statement(database, lambda: _finish_statement(dialect))
        self._hold = Statement(database, lambda: _hold_statement(dialect))
        self._recorded = Statement(database, lambda: _recorded_statement(dialect))

    def complete(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        timing: Timing,
        settled: Settled,
    ) -> None:
        """Write outcomes with all that follows from them, as far as their leases are held."""
        rest = self.finish(connection, outcomes, settled)
        if rest:
            self._complete_held(connection, rest, timing, settled)

    # ---- what completes and has no consequences

    def finish(
        self, connection: Connection, outcomes: Sequence[Outcome], settled: Settled
    ) -> Sequence[Outcome]:
        """Finish what can be finished, in one statement; return what is still to be written."""
        plain: list[Outcome] = []
        rest: list[Outcome] = []
        for outcome in outcomes:
            (plain if is_plain(outcome) else rest).append(outcome)
        if not plain or len({outcome.task_id for outcome in outcomes}) < len(outcomes):
            # The first outcome of a lease counts, of whatever kind it is.
            return outcomes
        plain.sort(key=_id_of)
        values: dict[str, Any]
        if self._dialect == "postgresql":
            rows = [
                dict(zip(_FINISH_COLUMNS, _plain_row(outcome), strict=True)) for outcome in plain
            ]
            ids = words(self._dialect, [outcome.task_id for outcome in plain])
            values = {"rows": encode(rows), "ids": ids}
        else:
            values = {"rows": encode_by_id({each.task_id: _plain_row(each)[1:] for each in plain})}
        if self._finish.count(connection, **values) < len(plain):
            # Some are not held any more, or are parts of a chord: the long way tells which.
            done = self._find_recorded(connection, plain).keys()
            rest += [outcome for outcome in plain if _key_of(outcome) not in done]
            plain = [outcome for outcome in plain if _key_of(outcome) in done]
        settled.ended += map(_ended_plainly, plain)
        return rest

    # ---- what has consequences

    def _complete_held(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        timing: Timing,
        settled: Settled,
    ) -> None:
        rows = encode([{"id": each.task_id, "lease_token": each.lease_token} for each in outcomes])
        ids = words(self._dialect, [each.task_id for each in outcomes])
        held = {
            (said, row[0]): Held(*row)
            for said, *row in self._hold.rows(connection, rows=rows, ids=ids)
        }
        kept: list[tuple[Outcome, Held]] = []
        for outcome in outcomes:
            # Taken out: a second outcome of one lease is late.
            row = held.pop((outcome.lease_token, outcome.task_id), None)
            if row is None:
                settled.lost.append(outcome)
            else:
                kept.append((outcome, row))
        chords = [chord for outcome, _ in kept for chord in outcome.chords]
        self._arrivals.put_chords(connection, chords, timing.micros)
        # Only of leases that were held: what a lost attempt sent on was sent by another one too.
        sent = [task for outcome, _ in kept for task in outcome.continuations]
        settled.doorbells += self._arrivals.put(connection, sent, timing).doorbells.values()
        verdicts = [judge(outcome, row, timing) for outcome, row in kept]
        found = self._endings.settle(connection, verdicts, timing)
        settled.ended += found.ended
        settled.doorbells += found.doorbells
        if settled.lost:
            self._recognise(connection, settled)

    def _recognise(self, connection: Connection, settled: Settled) -> None:
        """Report outcomes that were recorded before, and whose answer did not come, as recorded."""
        recorded = self._find_recorded(connection, settled.lost)
        lost = []
        for outcome in settled.lost:
            row = recorded.get(_key_of(outcome))
            if row is None:
                lost.append(outcome)
            elif row.state == TaskState.QUEUED.value:
                settled.doorbells.append(_doorbell_of(row))
            elif row.finished_at is not None:
                settled.ended.append(ended_from_row(row))
        settled.lost = lost

    def find_ended(
        self, connection: Connection, leases: Sequence[tuple[TaskId, str]]
    ) -> set[tuple[TaskId, str]]:
        """Return those of some leases, ids and tokens, whose attempts have ended in any way."""
        rows = encode([{"id": task_id, "lease_token": token} for task_id, token in leases])
        return {(row.id, row.lease_token) for row in self._recorded.rows(connection, rows=rows)}

    def _find_recorded(
        self, connection: Connection, outcomes: Sequence[Outcome]
    ) -> dict[tuple[str, str, str], Any]:
        rows = encode([{"id": each.task_id, "lease_token": each.lease_token} for each in outcomes])
        return {
            (row.id, row.lease_token, row.ending): row
            for row in self._recorded.rows(connection, rows=rows)
        }


_COMPLETED = Ending.COMPLETED.value
_id_of = attrgetter("task_id")


def is_plain(outcome: Outcome) -> bool:
    """Return whether nothing follows from an outcome but its task's end, if it is no part."""
    return (
        outcome.ending is Ending.COMPLETED
        and not outcome.continuations
        and not outcome.chords
        # Whoever holds on to a file is written down beside the row.
        and not find_file_ids(outcome.result)
    )


def _key_of(outcome: Outcome) -> tuple[str, str, str]:
    return (outcome.task_id, outcome.lease_token, outcome.ending.value)


# In the order of `_plain_row`.
_FINISH_COLUMNS: Columns = {
    "id": TEXT,
    "lease_token": TEXT,
    "result": TEXT,
    "result_codec": TEXT,
    "is_ignored": FLAG,
    "finished_at": WHOLE,
}


def _plain_row(outcome: Outcome) -> tuple[object, ...]:
    return (
        outcome.task_id,
        outcome.lease_token,
        outcome.result,
        outcome.result_codec,
        outcome.is_ignored,
        to_micros(outcome.finished_at),
    )


def _ended_plainly(outcome: Outcome) -> Ended:
    return Ended(
        task_id=outcome.task_id,
        state=_COMPLETED,
        result=outcome.result,
        result_codec=outcome.result_codec,
    )


def _doorbell_of(row: Any) -> Doorbell:
    return Doorbell(task_id=row.id, name=row.name, queue=row.queue, priority=row.priority)


def _finish_statement(dialect: str) -> Update:
    _, *columns = _FINISH_COLUMNS
    rows = (
        incoming(dialect, _FINISH_COLUMNS) if dialect == "postgresql" else incoming_by_id(*columns)
    )
    completed: ColumnElement[str] = literal_column("'completed'")
    nothing: ColumnElement[None] = literal_column("NULL")
    return (
        update_of(tasks)
        .where(
            # In the order of the ids, as everybody locks rows.
            matched(dialect, tasks.c.id, rows),
            by_id(tasks.c.state == literal_column("'running'")),
            # I2, as in `_hold_statement`.
            tasks.c.lease_token == rows.c.lease_token,
            # The chord of a part has to count it.
            by_id(tasks.c.chord_id.is_(None)),
        )
        .values(
            state=completed,
            result=rows.c.result,
            result_codec=rows.c.result_codec,
            error=nothing,
            is_ignored=rows.c.is_ignored,
            finished_at=rows.c.finished_at,
            last_token=rows.c.lease_token,
            last_ending=completed,
            lease_token=nothing,
            worker_id=nothing,
            version=tasks.c.version + literal_column("1"),
        )
    )


def _hold_statement(dialect: str) -> Select[Any]:
    rows = incoming(dialect, {"id": TEXT, "lease_token": TEXT})
    # I2: here, and in `_finish_statement`, it is checked that an attempt still holds what it
    # completes. From here to the end of the transaction nobody else can change these rows.
    return (
        select(rows.c.lease_token, *HELD_COLUMNS)
        .where(
            matched(dialect, tasks.c.id, rows),
            by_id(tasks.c.state == literal_column("'running'")),
            tasks.c.lease_token == rows.c.lease_token,
        )
        .order_by(tasks.c.id)
        .with_for_update(of=tasks)
    )


def _recorded_statement(dialect: str) -> CompoundSelect[Any]:
    rows = incoming(dialect, {"id": TEXT, "lease_token": TEXT})
    facts = (
        tasks.c.name,
        tasks.c.queue,
        tasks.c.priority,
        tasks.c.state,
        tasks.c.finished_at,
        tasks.c.result,
        tasks.c.result_codec,
        tasks.c.error,
    )
    earlier = select(tasks.c.id, attempts.c.lease_token, attempts.c.ending, *facts).where(
        attempts.c.task_id == rows.c.id,
        attempts.c.lease_token == rows.c.lease_token,
        tasks.c.id == attempts.c.task_id,
    )
    last = select(tasks.c.id, tasks.c.last_token, tasks.c.last_ending, *facts).where(
        tasks.c.id == rows.c.id, tasks.c.last_token == rows.c.lease_token
    )
    return union_all(earlier, last)
