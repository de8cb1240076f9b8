"""Tasks as callers write them: submitted, cancelled, told of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Update, bindparam, literal_column, select, update

from celeriac.core.outcome import Ended, NewChord
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, NewTask, Task, TaskId
from celeriac.errors import (
    InvalidOptionError,
    TaskAlreadyFinalError,
    TaskIdTakenError,
    TaskNotFoundError,
)
from celeriac.ledger.arrivals import Arrivals, Timing, shape_of
from celeriac.ledger.database import Database, RefusedRowError
from celeriac.ledger.endings import HELD_COLUMNS, Endings
from celeriac.ledger.incoming import TEXT, among, by_id, encode, incoming, is_sound, matched, words
from celeriac.ledger.reads import TaskReads
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import tasks
from celeriac.ledger.transaction import Shape
from celeriac.ledger.verdicts import Finish, Held


class Tasks(TaskReads):
    """Every task there is."""

    def __init__(
        self,
        database: Database,
        arrivals: Arrivals,
        endings: Endings,
        *,
        clock: Callable[[], datetime],
        ring_again: timedelta,
    ) -> None:
        super().__init__(database)
        self._arrivals = arrivals
        self._endings = endings
        self._clock = clock
        self._ring_again = ring_again
        dialect = database.dialect
        known = select(tasks.c.id, tasks.c.name, tasks.c.codec, tasks.c.arguments).where(
            among(dialect, tasks.c.id, "ids")
        )
        held = select(*HELD_COLUMNS).where(tasks.c.id == bindparam("id")).with_for_update()
        self._known = Statement(database, lambda: known)
        self._hold = Statement(database, lambda: held)
        self._ask_to_stop = Statement(database, _ask_to_stop_statement)
        self._progress = Statement(database, lambda: _progress_statement(dialect))
        self._mark = Statement(database, _mark_statement)

    def insert(
        self,
        tasks: Sequence[NewTask],
        *,
        chords: Sequence[NewChord] = (),
        seen: Callable[[list[Doorbell | None]], None] = lambda _: None,
    ) -> list[Doorbell | None]:
        """Put tasks into the ledger, all of them or none.

        A task whose id waits already takes its turn: it is queued with what it now arrives with. A
        task that is here already, with the same name and arguments, is not put in again; neither
        is one that is to wait and whose id exists, nor a chord whose id exists.

        Args:
            tasks: The tasks.
            chords: The chords that some of them belong to.
            seen: Called with what is returned as soon as workers see the tasks, which is before
                they are on the disk.

        Returns:
            For each task, in order, its doorbell when it was queued by this, None otherwise.

        Raises:
            TaskIdTakenError: Another task has the id; nothing was inserted.
            InvalidOptionError: A value breaks a rule of the tables; nothing was inserted.
            LedgerUnavailableError: The database did not answer or would not commit.
        """
        if not tasks and not chords:
            return []

        def act(connection: Connection) -> list[Doorbell | None]:
            timing = Timing.rung_by_caller(self._clock(), self._ring_again)
            self._arrivals.put_chords(connection, chords, timing.micros)
            arrived = self._arrivals.put(connection, tasks, timing)
            self._check_known(connection, [task for task in arrived.known if not task.is_waiting])
            # Each doorbell once, however often the id was said.
            return [
                None if task.is_waiting else arrived.doorbells.pop(task.id, None) for task in tasks
            ]

        try:
            shape = Shape.BY_ID if chords else shape_of(tasks)
            return self._database.write_ahead(act, seen, shape=shape)
        except RefusedRowError as error:
            raise InvalidOptionError("task", f"cannot be kept: {error.reason}") from error

    def request_cancel(
        self, task_id: str, *, tell: Callable[[Sequence[Ended]], None] = lambda ended: None
    ) -> Task:
        """Cancel a task that nobody runs, with all that follows; ask a running one to stop.

        Args:
            task_id: The task.
            tell: Called once it is committed, with every task that ended because of it.

        Returns:
            The task as it now is: cancelled, or running with the request on it.

        Raises:
            TaskNotFoundError: No task has this id.
            TaskAlreadyFinalError: The task has ended; nothing was changed.
            LedgerUnavailableError: The database did not answer or would not commit.
        """

        def act(connection: Connection) -> Sequence[Ended]:
            row = self._hold.first(connection, id=task_id)
            if row is None:
                raise TaskNotFoundError(task_id)
            held = Held(*row)
            if TaskState(held.state).is_final:
                raise TaskAlreadyFinalError(task_id, held.state)
            timing = Timing.rung_by_janitor(self._clock())
            if held.state == TaskState.RUNNING.value:
                self._ask_to_stop.count(connection, id=task_id, now=timing.micros)
                return ()
            finish = Finish(held, TaskState.CANCELLED, timing.micros, crashes=held.crashes)
            return self._endings.settle(connection, [finish], timing).ended

        if not is_sound(task_id):
            raise TaskNotFoundError(task_id)
        tell(self._database.write(act))
        return self.get(task_id)

    def set_progress(self, items: Sequence[tuple[TaskId, str, str]]) -> None:
        """Keep what running tasks tell of themselves.

        Args:
            items: Of each its id, the lease it runs under, and its progress as JSON. One whose
                lease is no longer held is left out in silence.

        Raises:
            LedgerUnavailableError: The database did not answer or would not commit.
        """
        latest = {(task_id, token): text for task_id, token, text in items}
        rows = [
            {"id": task_id, "lease_token": token, "progress": text}
            for (task_id, token), text in sorted(latest.items())
        ]
        if rows:
            self._tell(rows)

    def mark(self, task_id: str, progress: str) -> None:
        """Keep what somebody says of a task that has not ended, in place of what it said itself.

        Raises:
            InvalidOptionError: It cannot be kept.
            LedgerUnavailableError: The database did not answer or would not commit.
        """
        if not is_sound(task_id):
            return
        try:
            self._database.write(
                lambda connection: self._mark.count(connection, id=task_id, progress=progress),
                shape=Shape.ALONE,
            )
        except RefusedRowError as error:
            raise InvalidOptionError("state", f"cannot be kept: {error.reason}") from error

    def _tell(self, rows: Sequence[dict[str, str]]) -> None:
        try:
            text = encode(rows)
            ids = words(self._database.dialect, [row["id"] for row in rows])
            self._database.write(
                lambda connection: self._progress.count(connection, rows=text, ids=ids),
                shape=Shape.ALONE,
            )
        except (RefusedRowError, ValueError):
            # What a task tells that cannot be kept is not told; it does not silence the others.
            if len(rows) > 1:
                middle = len(rows) // 2
                self._tell(rows[:middle])
                self._tell(rows[middle:])

    def _check_known(self, connection: Connection, again: Sequence[NewTask]) -> None:
        if not again:
            return
        ids = words(self._database.dialect, sorted({task.id for task in again}))
        rows = self._known.rows(connection, ids=ids)
        known = {row[0]: tuple(row[1:]) for row in rows}
        for task in again:
            if known.get(task.id) != (task.name, task.arguments.codec.value, task.arguments.text):
                raise TaskIdTakenError(task.id)


def _ask_to_stop_statement() -> Update:
    return (
        update(tasks)
        .where(tasks.c.id == bindparam("id"), tasks.c.cancel_requested_at.is_(None))
        .values(cancel_requested_at=bindparam("now"), version=tasks.c.version + literal_column("1"))
    )


def _mark_statement() -> Update:
    return (
        update(tasks)
        .where(tasks.c.id == bindparam("id"), tasks.c.finished_at.is_(None))
        .values(progress=bindparam("progress"), version=tasks.c.version + literal_column("1"))
    )


def _progress_statement(dialect: str) -> Update:
    rows = incoming(dialect, {"id": TEXT, "lease_token": TEXT, "progress": TEXT})
    return (
        update(tasks)
        .where(
            matched(dialect, tasks.c.id, rows),
            by_id(tasks.c.state == literal_column("'running'")),
            tasks.c.lease_token == rows.c.lease_token,
        )
        .values(progress=rows.c.progress, version=tasks.c.version + literal_column("1"))
    )
