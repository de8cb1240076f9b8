"""What the janitor writes. Every write is compare-and-set, so that two janitors do no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    bindparam,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)

from celeriac.core.file_reference import FileId
from celeriac.core.outcome import Ended
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, TaskId
from celeriac.ledger.arrivals import Timing
from celeriac.ledger.database import Database
from celeriac.ledger.endings import HELD_COLUMNS, Endings
from celeriac.ledger.file_holders import FileHolders
from celeriac.ledger.incoming import TEXT, WHOLE
from celeriac.ledger.leadership import Leadership
from celeriac.ledger.moments import to_micros
from celeriac.ledger.records import DOORBELL_COLUMNS, doorbell_from_row
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import chords, paused_queues, tasks
from celeriac.ledger.verdicts import Finish, Held, judge_upstream
from celeriac.ledger.workers import Workers

_LONGEST_RING = timedelta(minutes=10)
_MICROSECOND = timedelta(microseconds=1)

_SCHEDULED: ColumnElement[str] = literal_column("'scheduled'")
_QUEUED: ColumnElement[str] = literal_column("'queued'")
_WAITING: ColumnElement[str] = literal_column("'waiting'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What the end of a worker brought with it."""

    # False when its heart had beaten since: nothing was changed.
    is_reaped: bool
    doorbells: tuple[Doorbell, ...] = ()
    ended: tuple[Ended, ...] = ()


class Sweeps(Leadership):
    """What one leader looks after."""

    def __init__(
        self,
        database: Database,
        endings: Endings,
        workers: Workers,
        *,
        clock: Callable[[], datetime],
        ring_again: timedelta,
    ) -> None:
        super().__init__(database)
        self._endings = endings
        self._workers = workers
        self._files = FileHolders(database)
        self._clock = clock
        self._ring_again = ring_again
        counts = (
            select(tasks.c.queue, func.count())
            .where(tasks.c.state == _QUEUED)
            .group_by(tasks.c.queue)
        )
        due = select(tasks.c.id).where(*_is_due()).limit(1)
        expired = select(tasks.c.id).where(*_is_expired()).limit(1)
        orphaned = select(tasks.c.id).where(*_is_orphaned()).limit(1)
        to_ring = select(tasks.c.id).where(*_is_to_ring()).limit(1)
        self._counts = Statement(database, lambda: counts)
        # Looked for before anything is written: a quiet ledger has no writer every 250 ms.
        self._any_due = Statement(database, lambda: due)
        self._any_expired = Statement(database, lambda: expired)
        self._any_orphaned = Statement(database, lambda: orphaned)
        self._any_to_ring = Statement(database, lambda: to_ring)
        self._promote = Statement(database, _promote_statement)
        self._expired = Statement(database, _expired_statement)
        self._orphans = Statement(database, _orphans_statement)
        self._ring = Statement(database, _ring_statement)
        self._ring_all = Statement(database, _ring_all_statement)

    def promote(self, limit: int = 1000) -> list[Doorbell]:
        """Queue scheduled tasks whose time has come, at most so many; return their doorbells."""
        timing = self._timing()
        if not self._any(self._any_due, now=timing.micros):
            return []
        rows = self._database.write(
            lambda connection: self._promote.rows(
                connection, now=timing.micros, ring_due_at=timing.ring_due_at, limit=limit
            )
        )
        return [doorbell_from_row(row) for row in rows]

    def expire(self, limit: int = 1000) -> list[Ended]:
        """End tasks that nobody began in time, at most so many."""

        def act(connection: Connection) -> list[Ended]:
            timing = Timing.rung_by_janitor(self._clock())
            rows = self._expired.rows(connection, now=timing.micros, limit=limit)
            finishes = [
                Finish(held, TaskState.EXPIRED, timing.micros, crashes=held.crashes)
                for held in (Held(*row) for row in rows)
            ]
            return self._endings.settle(connection, finishes, timing).ended

        if not self._any(self._any_expired, now=self._timing().micros):
            return []
        return self._database.write(act)

    def due_to_ring(self, queue: str, *, limit: int, again: timedelta) -> list[Doorbell]:
        """Return queued tasks whose doorbell seems lost, and when each is due again is doubled.

        Args:
            queue: Of this queue only.
            limit: At most so many, by priority and then by age.
            again: How long after the first ring the second is due; ten minutes at most.
        """
        now = to_micros(self._clock())
        if not self._any(self._any_to_ring, now=now, queue=queue):
            return []
        rows = self._database.write(
            lambda connection: self._ring.rows(
                connection,
                now=now,
                queue=queue,
                limit=limit,
                again=again // _MICROSECOND,
                longest=_LONGEST_RING // _MICROSECOND,
            )
        )
        # An UPDATE returns its rows in no order.
        rows = sorted(rows, key=lambda row: (-row.priority, row.queued_at or 0, row.id))
        return [doorbell_from_row(row) for row in rows]

    def ring_all_due(self, queue: str | None = None) -> int:
        """Make every queued task due to be rung: the broker has forgotten them.

        Returns:
            How many they are.
        """
        now = to_micros(self._clock())
        return self._database.write(
            lambda connection: self._ring_all.count(connection, now=now, queue=queue)
        )

    def queue_counts(self) -> dict[str, int]:
        """Return how many tasks are queued, by queue; a queue without any is not named."""
        return {row[0]: row[1] for row in self._database.read(self._counts.rows)}

    def reap(
        self, worker_id: str, seen_sequence: int, *, crashed: frozenset[TaskId] | None = None
    ) -> Reaped:
        """Give up a worker whose heart stands still, and take back what it held.

        Args:
            worker_id: The worker.
            seen_sequence: The sequence number that stood still; if it has risen, nothing is done.
            crashed: The tasks that may have brought it down; None when nobody knows: then each
                of its tasks is charged with the crash.
        """

        def act(connection: Connection) -> Reaped:
            if not self._workers.remove(connection, worker_id, seen_sequence):
                return Reaped(is_reaped=False)
            found = self._workers.give_back(connection, worker_id, self._timing(), crashed=crashed)
            return Reaped(
                is_reaped=True, doorbells=tuple(found.doorbells), ended=tuple(found.ended)
            )

        return self._database.write(act)

    def held_files(self, ids: Sequence[FileId]) -> set[FileId]:
        """Return those files that a task, or a chord, still holds on to."""
        return self._database.read(lambda connection: self._files.held(connection, ids))

    def release_files(self, ids: Sequence[FileId]) -> None:
        """Forget who held on to files that are gone."""
        self._database.write(lambda connection: self._files.release(connection, ids))

    def fail_orphans(self, limit: int = 1000) -> list[Ended]:
        """End waiting tasks whose turn can no longer come (I7), at most so many."""

        def act(connection: Connection) -> list[Ended]:
            timing = Timing.rung_by_janitor(self._clock())
            orphans = [Held(*row) for row in self._orphans.rows(connection, limit=limit)]
            finishes = [
                judge_upstream(held, f"has ended or is missing: {held.upstream_id}", timing)
                for held in orphans
            ]
            return self._endings.settle(connection, finishes, timing).ended

        if not self._any(self._any_orphaned):
            return []
        return self._database.write(act)

    def _any(self, statement: Statement, **values: object) -> bool:
        row = self._database.read(lambda connection: statement.first(connection, **values))
        return row is not None

    def _timing(self) -> Timing:
        return Timing.rung_by_caller(self._clock(), self._ring_again)


def _is_due() -> Sequence[Any]:
    return (tasks.c.state == _SCHEDULED, tasks.c.not_before <= bindparam("now", type_=WHOLE))


def _is_expired() -> Sequence[Any]:
    return (
        tasks.c.expires_at <= bindparam("now", type_=WHOLE),
        # The index's own words: what is running may go on, and what waits has not had its turn.
        tasks.c.finished_at.is_(None),
        or_(tasks.c.state == _QUEUED, tasks.c.state == _SCHEDULED),
    )


def _is_to_ring() -> Sequence[Any]:
    return (
        tasks.c.state == _QUEUED,
        tasks.c.queue == bindparam("queue", type_=TEXT),
        tasks.c.ring_due_at <= bindparam("now", type_=WHOLE),
        # Whoever answered would be refused.
        tasks.c.queue.not_in(select(paused_queues.c.name)),
    )


def _is_orphaned() -> Sequence[Any]:
    upstream = tasks.alias("upstream")
    firing = tasks.alias("firing")
    goes_on = select(upstream.c.id).where(
        upstream.c.id == tasks.c.upstream_id, upstream.c.finished_at.is_(None)
    )
    fires = select(firing.c.id).where(
        firing.c.id == chords.c.id + literal_column("':fire'"), firing.c.finished_at.is_(None)
    )
    chord_goes_on = select(chords.c.id).where(
        chords.c.id == tasks.c.upstream_id,
        or_(chords.c.remaining > literal_column("0"), fires.exists()),
    )
    return (tasks.c.state == _WAITING, ~goes_on.exists(), ~chord_goes_on.exists())


def _limited(query: Select[Any]) -> Select[Any]:
    # Rows that somebody else is just writing are left for the next sweep.
    return query.limit(bindparam("limit", type_=WHOLE)).with_for_update(of=tasks, skip_locked=True)


def _promote_statement() -> Update:
    due = _limited(select(tasks.c.id).where(*_is_due()).order_by(tasks.c.not_before)).cte("due")
    return (
        update(tasks)
        .where(tasks.c.id == due.c.id)
        .values(
            state=_QUEUED,
            queued_at=bindparam("now", type_=WHOLE),
            ring_due_at=bindparam("ring_due_at", type_=WHOLE),
            rings=literal_column("0"),
            version=tasks.c.version + literal_column("1"),
        )
        .returning(*DOORBELL_COLUMNS)
    )


def _expired_statement() -> Select[Any]:
    return _limited(select(*HELD_COLUMNS).where(*_is_expired()).order_by(tasks.c.id))


def _orphans_statement() -> Select[Any]:
    return _limited(select(*HELD_COLUMNS).where(*_is_orphaned()).order_by(tasks.c.id))


def _ring_statement() -> Update:
    chosen = _limited(
        select(tasks.c.id)
        .where(*_is_to_ring())
        .order_by(tasks.c.priority.desc(), tasks.c.created_at)
    ).cte("chosen")
    # 2 to the power of the rings so far, by a shift, which both databases have. Ten doublings are
    # beyond every bound, and more would leave the number's bits.
    doublings = case(
        (tasks.c.rings > literal_column("10"), literal_column("10")), else_=tasks.c.rings
    )
    pause = bindparam("again", type_=WHOLE).bitwise_lshift(doublings)
    longest = bindparam("longest", type_=WHOLE)
    return (
        update(tasks)
        .where(tasks.c.id == chosen.c.id)
        .values(
            rings=tasks.c.rings + literal_column("1"),
            ring_due_at=bindparam("now", type_=WHOLE)
            + case((pause > longest, longest), else_=pause),
        )
        .returning(*DOORBELL_COLUMNS, tasks.c.queued_at)
    )


def _ring_all_statement() -> Update:
    queue = bindparam("queue", type_=TEXT)
    return (
        update(tasks)
        .where(tasks.c.state == _QUEUED, or_(tasks.c.queue == queue, queue.is_(null())))
        .values(ring_due_at=bindparam("now", type_=WHOLE))
    )
