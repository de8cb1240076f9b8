"""What the janitor writes. Every write is compare-and-set, so that two janitors do no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, func, literal_column, select

from celeriac.core.file_reference import FileId
from celeriac.core.moments import to_micros
from celeriac.core.outcome import Ended
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, TaskId
from celeriac.ledger.arrivals import Timing
from celeriac.ledger.database import Database
from celeriac.ledger.endings import Endings
from celeriac.ledger.file_holders import FileHolders
from celeriac.ledger.leadership import Leadership
from celeriac.ledger.records import doorbell_from_row, ended_from_row
from celeriac.ledger.statement import Statement
from celeriac.ledger.sweep_statements import (
    ended_since_statement,
    expired_statement,
    is_due,
    is_expired,
    is_orphaned,
    is_to_ring,
    orphans_statement,
    promote_statement,
    ring_all_statement,
    ring_statement,
)
from celeriac.ledger.tables import tasks
from celeriac.ledger.verdicts import Finish, Held, judge_upstream
from celeriac.ledger.workers import Workers

_LONGEST_RING = timedelta(minutes=10)
_MICROSECOND = timedelta(microseconds=1)
# How long before a moment a task may have come that is looked for because it ended after that, and
# how much of that time is looked at together, in microseconds.
_LONGEST_WAY = timedelta(hours=1) // _MICROSECOND
_SLICE = timedelta(seconds=2) // _MICROSECOND
# Of what came in that time, what is read together: its results may be large.
_MOST_ENDED = 200


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
            .where(tasks.c.state == literal_column("'queued'"))
            .group_by(tasks.c.queue)
        )
        due = select(tasks.c.id).where(*is_due()).limit(1)
        expired = select(tasks.c.id).where(*is_expired()).limit(1)
        orphaned = select(tasks.c.id).where(*is_orphaned()).limit(1)
        to_ring = select(tasks.c.id).where(*is_to_ring()).limit(1)
        self._counts = Statement(database, lambda: counts)
        # Looked for before anything is written: a quiet ledger has no writer every 250 ms.
        self._any_due = Statement(database, lambda: due)
        self._any_expired = Statement(database, lambda: expired)
        self._any_orphaned = Statement(database, lambda: orphaned)
        self._any_to_ring = Statement(database, lambda: to_ring)
        self._promote = Statement(database, promote_statement)
        self._expired = Statement(database, expired_statement)
        self._orphans = Statement(database, orphans_statement)
        self._ring = Statement(database, ring_statement)
        self._ring_all = Statement(database, ring_all_statement)
        self._ended_since = Statement(database, ended_since_statement)

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
        latest = now + max(again, _LONGEST_RING) // _MICROSECOND
        if not self._any(self._any_to_ring, now=now, latest=latest, queue=queue):
            return []
        rows = self._database.write(
            lambda connection: self._ring.rows(
                connection,
                now=now,
                latest=latest,
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

    def ended_since(self, moment: datetime) -> Iterator[list[Ended]]:
        """Yield tasks that have ended since a moment, in the order in which they came.

        Of those that came no more than an hour before that moment: when a task came has an index,
        and when it ended has none. Read in small bites, however many there are.
        """
        since, now = to_micros(moment), to_micros(self._clock())
        for begin in range(since - _LONGEST_WAY, now + 1, _SLICE):
            yield from self._ended_between(begin, begin + _SLICE, since)

    def _ended_between(self, begin: int, end: int, since: int) -> Iterator[list[Ended]]:
        after, is_more = "", True
        while is_more:
            ask = partial(self._ended_since.rows, since=since, begin=begin, end=end, after=after)
            rows = self._database.read(partial(ask, limit=_MOST_ENDED))
            is_more = len(rows) == _MOST_ENDED
            if rows:
                begin, after = rows[-1].created_at, rows[-1].id
                yield [ended_from_row(row) for row in rows]

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
