"""How tasks come into being, or out of `waiting` when their turn has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter

from sqlalchemy import Connection, select

from celeriac.core.file_reference import MARK
from celeriac.core.moments import to_micros
from celeriac.core.outcome import NewChord
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, NewTask, TaskId, Twin
from celeriac.ledger.arrival_statements import (
    BORN_COLUMNS,
    CHORD_COLUMNS,
    chords_statement,
    continue_statement,
    insert_statement,
    rehang_statement,
)
from celeriac.ledger.database import Database
from celeriac.ledger.file_holders import FileHolders
from celeriac.ledger.incoming import among, encode, words
from celeriac.ledger.insertion import Insertion
from celeriac.ledger.records import doorbell_of, row_from_new_task
from celeriac.ledger.statement import Batch, Statement
from celeriac.ledger.tables import tasks
from celeriac.ledger.transaction import Shape

# What a twin does not take from the task that it is like.
_TWINS_OWN = frozenset({"id", "arguments", "root_id"})

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Timing:
    """The moment of a write, and when what it queues is rung by the janitor if nobody claims it."""

    now: datetime
    ring_due_at: int

    @classmethod
    def rung_by_caller(cls, now: datetime, ring_again: timedelta) -> Timing:
        """Return the timing of a write whose doorbells the caller rings."""
        return cls(now, to_micros(now + ring_again))

    @classmethod
    def rung_by_janitor(cls, now: datetime) -> Timing:
        """Return the timing of a write whose doorbells nobody gets to see."""
        return cls(now, to_micros(now))

    @property
    def micros(self) -> int:
        """The moment of the write as the ledger keeps it."""
        return to_micros(self.now)

    def state_of(self, task: NewTask) -> TaskState:
        """Return the state in which a new task begins."""
        if task.is_waiting:
            return TaskState.WAITING
        if task.not_before is not None and task.not_before > self.now:
            return TaskState.SCHEDULED
        return TaskState.QUEUED


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of tasks that were to be put into the ledger."""

    # The doorbells of those that are queued by this.
    doorbells: dict[TaskId, Doorbell]
    # Those whose id had a row whose turn is not to come by this: it was left as it is.
    known: tuple[NewTask, ...]


class Arrivals:
    """Puts tasks and chords into the ledger, inside somebody's transaction."""

    def __init__(self, database: Database) -> None:
        dialect = database.dialect
        self._dialect = dialect
        taken = select(tasks.c.id).where(among(dialect, tasks.c.id, "ids"))
        self._taken = Statement(database, lambda: taken)
        self._insert = Insertion(
            database, BORN_COLUMNS, lambda rows: insert_statement(dialect, rows)
        )
        self._continue = Statement(database, lambda: continue_statement(dialect))
        self._rehang = Statement(database, lambda: rehang_statement(dialect))
        self._insert_chords = Batch(
            database, CHORD_COLUMNS, lambda rows: chords_statement(dialect, rows)
        )
        self.files = FileHolders(database)

    def put(self, connection: Connection, new: Iterable[NewTask], timing: Timing) -> Arrived:
        """Insert what is new and wake what waits; leave alone whatever else has the id."""
        wanted, known = _one_of_each_id(new)
        if not wanted:
            return Arrived({}, tuple(known))
        rows = [_row(task, timing) for task in wanted]
        done = self._insert_unknown(connection, rows)
        late = [pair for pair in zip(wanted, rows, strict=True) if pair[0].id not in done]
        # A body whose chord is sent now waits for the chord, and no longer for the link before.
        for statement, is_waiting in ((self._continue, False), (self._rehang, True)):
            these = [row for task, row in late if task.is_waiting is is_waiting]
            if these:
                ids = words(self._dialect, [str(row["id"]) for row in these])
                changed = statement.rows(connection, rows=encode(these), ids=ids)
                done.update(row[0] for row in changed)
        self.hold_files(connection, wanted)
        doorbells = {
            task.id: doorbell_of(task)
            for task in wanted
            if task.id in done and timing.state_of(task) is TaskState.QUEUED
        }
        known += [task for task in wanted if task.id not in done]
        return Arrived(doorbells, tuple(known))

    def put_twins(
        self, connection: Connection, twins: Sequence[Twin], timing: Timing
    ) -> list[Doorbell | None] | None:
        """Insert twins of new tasks that wait for no other.

        Returns:
            For each, in order, its doorbell when it is queued by this; None for all when the id of
            one was known, and it was left out.
        """
        likes = {id(twin.like): twin.like for twin in twins}
        rows = {key: _row(like, timing) for key, like in likes.items()}
        shared, *others = rows.values()
        differing = [
            name
            for name in shared
            if name not in _TWINS_OWN and any(row[name] != shared[name] for row in others)
        ]
        apart = {key: {name: row[name] for name in differing} for key, row in rows.items()}
        parts: list[Row] = [
            {"id": twin.id, "arguments": twin.arguments.text, "root_id": twin.root_id}
            for twin in twins
        ]
        if differing:
            for part, twin in zip(parts, twins, strict=True):
                part.update(apart[id(twin.like)])
        # The order in which rows are locked.
        parts.sort(key=itemgetter("id"))
        if self._insert.count_alike(connection, shared, parts) < len(parts):
            return None
        self.hold_files(connection, twins)
        ready = {key for key, row in rows.items() if row["state"] == TaskState.QUEUED.value}
        return [doorbell_of(twin) if id(twin.like) in ready else None for twin in twins]

    def hold_files(self, connection: Connection, tasks: Iterable[NewTask | Twin]) -> None:
        """Have tasks hold on to the files that they were given."""
        self.files.hold(connection, _texts_of(tasks))

    def put_chords(self, connection: Connection, new: Sequence[NewChord], now: int) -> None:
        """Insert chords; one whose id is known is left alone."""
        if new:
            rows: list[Row] = [
                {
                    "id": chord.id,
                    "size": chord.size,
                    "body": chord.body,
                    "queue": chord.queue,
                    "created_at": now,
                }
                for chord in sorted(new, key=lambda chord: chord.id)
            ]
            self._insert_chords.run(connection, rows)
            self.files.hold(connection, [(chord.id, chord.body) for chord in new])

    def _insert_unknown(self, connection: Connection, rows: Sequence[Row]) -> set[str]:
        """Insert the rows whose id is not known yet, and return these ids."""
        if self._dialect == "postgresql":
            return {row[0] for row in self._insert.rows(connection, rows)}
        if len(rows) == 1:
            return {str(row["id"]) for row in rows if self._insert.count(connection, rows)}
        # Nobody can insert between the two: SQLite has one writer, and this is it.
        ids = words(self._dialect, [str(row["id"]) for row in rows])
        known = {row[0] for row in self._taken.rows(connection, ids=ids)}
        fresh = [row for row in rows if row["id"] not in known] if known else rows
        if fresh:
            self._insert.count(connection, fresh)
        return {str(row["id"]) for row in fresh}


def shape_of(new: Sequence[NewTask | Twin]) -> Shape:
    """Return what is known of the statements that put tasks in, and no chords with them."""
    if len(new) != 1:
        return Shape.BY_ID
    # A lone task is inserted, or found there and woken. Files are held by one more statement.
    speaks_of_files = any(MARK in text for _, text in _texts_of(new) if text is not None)
    return Shape.BY_ID if speaks_of_files else Shape.ALONE


def _texts_of(new: Iterable[NewTask | Twin]) -> Iterator[tuple[str, str | None]]:
    """Give every text of a task that may speak of files, with the task's id."""
    # Links and the rest of a chain stand in the headers with their arguments.
    for task in new:
        headers = task.like.headers if isinstance(task, Twin) else task.headers
        yield task.id, task.arguments.text
        yield task.id, headers


def _one_of_each_id(new: Iterable[NewTask]) -> tuple[list[NewTask], list[NewTask]]:
    """Return the tasks in the order in which rows are locked, and those said twice."""
    chosen: dict[TaskId, NewTask] = {}
    again = []
    for task in new:
        other = chosen.get(task.id)
        if other is None or (other.is_waiting and not task.is_waiting):
            chosen[task.id] = task
        else:
            again.append(task)
    return sorted(chosen.values(), key=lambda task: task.id), again


def _row(task: NewTask, timing: Timing) -> Row:
    state = timing.state_of(task)
    is_queued = state is TaskState.QUEUED
    return row_from_new_task(
        task,
        state=state,
        created_at=timing.micros,
        queued_at=timing.micros if is_queued else None,
        ring_due_at=timing.ring_due_at if is_queued else None,
    )
