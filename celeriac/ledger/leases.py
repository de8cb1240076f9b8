"""The worker's side of the ledger: what it completes and what it claims, in one transaction."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Select,
    Update,
    bindparam,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from celeriac.core.outcome import Ended, Ending, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import ClaimedTask, Codec, Doorbell, TaskError, TaskId
from celeriac.errors import LedgerUnavailableError
from celeriac.ledger.arrivals import Arrivals, Timing
from celeriac.ledger.database import CommitInDoubtError, Database, RefusedRowError
from celeriac.ledger.endings import HELD_COLUMNS, Endings
from celeriac.ledger.incoming import TEXT, WHOLE, among, encode, incoming, is_sound, matched, words
from celeriac.ledger.records import CLAIMED_COLUMNS, claimed_from_row, error_from_text
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import attempts, by_id, tasks, workers
from celeriac.ledger.verdicts import Held, judge
from celeriac.ledger.workers import Workers

logger = logging.getLogger(__name__)

# How often a worker is told which of its tasks shall stop, at most: an exchange comes every few
# milliseconds, and a person who cancels does not notice a quarter of a second.
_STOP_CHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one exchange of a worker with the ledger brought."""

    # What it may run, in the order in which it was wanted.
    claimed: tuple[ClaimedTask, ...] = ()
    # Wanted, and not claimed: taken, ended, cancelled, expired, of another queue, or unknown.
    refused: tuple[TaskId, ...] = ()
    # Outcomes whose lease was gone: nothing of them was written.
    lost: tuple[TaskId, ...] = ()
    # Rows that became final, also those that ended because of these.
    ended: tuple[Ended, ...] = ()
    # Tasks that are ready now, to be rung.
    doorbells: tuple[Doorbell, ...] = ()
    # Tasks this worker holds that somebody cancelled; looked for four times a second, and named
    # again each time until they end.
    cancelled_running: tuple[TaskId, ...] = ()
    # The worker is not known, so that nothing was claimed: it was reaped, or never joined.
    is_reaped: bool = False


@dataclass(slots=True)
class _Settled:
    claimed: list[ClaimedTask] = field(default_factory=list)
    lost: list[Outcome] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    doorbells: list[Doorbell] = field(default_factory=list)
    is_reaped: bool = False

    def add(self, other: _Settled) -> None:
        self.claimed += other.claimed
        self.lost += other.lost
        self.ended += other.ended
        self.doorbells += other.doorbells
        self.is_reaped = self.is_reaped or other.is_reaped


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a worker wants to claim, with the tokens it would hold them by."""

    worker_id: str
    tokens: dict[TaskId, str]
    queues: tuple[str, ...]


class Leases(Workers):
    """Who holds which task."""

    def __init__(
        self,
        database: Database,
        arrivals: Arrivals,
        endings: Endings,
        *,
        clock: Callable[[], datetime],
        ring_again: timedelta,
    ) -> None:
        super().__init__(database, endings, clock=clock)
        self._arrivals = arrivals
        self._ring_again = ring_again
        dialect = self._dialect = database.dialect
        known = select(workers.c.name).where(workers.c.id == bindparam("worker"))
        to_stop = select(tasks.c.id).where(
            tasks.c.worker_id == bindparam("worker"),
            tasks.c.state == literal_column("'running'"),
            tasks.c.cancel_requested_at.is_not(None),
        )
        self._hold = Statement(database, lambda: _hold_statement(dialect))
        self._recorded = Statement(database, lambda: _recorded_statement(dialect))
        self._claim = Statement(database, lambda: _claim_statement(dialect))
        self._known_worker = Statement(database, lambda: known)
        self._to_stop = Statement(database, lambda: to_stop)
        self._lock = threading.Lock()
        # When each worker was last told what shall stop, by the monotonic clock.
        self._told_at: dict[str, float] = {}
        # Claims of which nobody knows whether they were committed, by worker: ids by their tokens.
        self._in_doubt: dict[str, dict[str, TaskId]] = {}

    def exchange(
        self,
        worker_id: str,
        *,
        outcomes: Sequence[Outcome],
        wanted: Sequence[TaskId],
        queues: Sequence[str],
    ) -> Exchange:
        """Complete what a worker has run, and claim what it wants to run, in one transaction.

        An outcome is written with its continuations and all that follows from it, or not at all
        when its lease is no longer held. An outcome that the database refuses is replaced by a
        failure that says so; its neighbours are written as they are. With nothing to complete and
        nothing to claim no transaction is opened.

        An exchange may be said again after an error: what was recorded the first time is reported
        as recorded, and claims whose answer was lost are given back.

        Args:
            worker_id: The worker.
            outcomes: How its attempts ended.
            wanted: The tasks it would run, as doorbells named them.
            queues: The queues it serves: a task of another one is not claimed.

        Raises:
            LedgerUnavailableError: The database did not answer or would not commit.
        """
        doubted = self._take_doubted(worker_id)
        returned = [
            Outcome(
                task_id=task_id,
                lease_token=token,
                ending=Ending.UNBEGUN,
                finished_at=self._clock(),
            )
            for token, task_id in doubted.items()
        ]
        ids = tuple(dict.fromkeys(wanted))
        # A message may name anything; what cannot be an id is refused like one that is not known.
        sound = ids if is_sound("".join(ids)) else tuple(filter(is_sound, ids))
        wish = _Wish(worker_id, dict(zip(sound, _tokens(len(sound)), strict=True)), tuple(queues))
        settled = _Settled()
        if outcomes or returned or sound:
            try:
                settled = self._settle((*returned, *outcomes), wish)
            except LedgerUnavailableError as error:
                if isinstance(error, CommitInDoubtError):
                    doubted |= {token: task_id for task_id, token in wish.tokens.items()}
                self._keep_doubted(worker_id, doubted)
                raise
        claimed = {task.id for task in settled.claimed}
        return Exchange(
            claimed=tuple(settled.claimed),
            refused=tuple(task_id for task_id in ids if task_id not in claimed),
            lost=tuple(each.task_id for each in settled.lost if each.lease_token not in doubted),
            ended=tuple(settled.ended),
            doorbells=tuple(bell for bell in settled.doorbells if bell.task_id not in claimed),
            cancelled_running=self._find_to_stop(worker_id),
            is_reaped=settled.is_reaped,
        )

    def _take_doubted(self, worker_id: str) -> dict[str, TaskId]:
        with self._lock:
            return self._in_doubt.pop(worker_id, {})

    def _keep_doubted(self, worker_id: str, doubted: dict[str, TaskId]) -> None:
        if doubted:
            with self._lock:
                self._in_doubt.setdefault(worker_id, {}).update(doubted)

    def _settle(self, outcomes: Sequence[Outcome], wish: _Wish) -> _Settled:
        """Write a batch in one transaction, or in halves when something in it is refused."""
        try:
            return self._database.write(lambda connection: self._step(connection, outcomes, wish))
        except RefusedRowError as error:
            if not outcomes:
                raise LedgerUnavailableError(f"a claim was refused: {error.reason}") from error
            if len(outcomes) == 1:
                return self._settle_as_failure(outcomes[0], wish, error)
        middle = len(outcomes) // 2
        nothing = replace(wish, tokens={})
        settled = self._settle(outcomes[:middle], nothing)
        settled.add(self._settle(outcomes[middle:], wish))
        return settled

    def _settle_as_failure(
        self, outcome: Outcome, wish: _Wish, refusal: RefusedRowError
    ) -> _Settled:
        logger.error(
            "the end of a task cannot be recorded as it is; it is recorded as a failure",
            extra={"task_id": outcome.task_id, "reason": refusal.reason},
        )
        failure = _failure_instead_of(outcome)

        def act(connection: Connection) -> _Settled:
            return self._step(connection, [failure], wish)

        try:
            return self._database.write(act)
        except RefusedRowError as error:
            raise LedgerUnavailableError(
                f"not even a failure was recorded: {error.reason}"
            ) from error

    def _step(self, connection: Connection, outcomes: Sequence[Outcome], wish: _Wish) -> _Settled:
        timing = Timing.rung_by_caller(self._clock(), self._ring_again)
        settled = _Settled()
        if outcomes:
            self._complete(connection, outcomes, timing, settled)
        if wish.tokens:
            self._claim_all(connection, wish, timing, settled)
        return settled

    def _complete(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        timing: Timing,
        settled: _Settled,
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

    def _recognise(self, connection: Connection, settled: _Settled) -> None:
        """Report outcomes that were recorded before, and whose answer did not come, as recorded."""
        rows = encode(
            [{"id": each.task_id, "lease_token": each.lease_token} for each in settled.lost]
        )
        recorded = {
            (row.id, row.lease_token, row.ending): row
            for row in self._recorded.rows(connection, rows=rows)
        }
        lost = []
        for outcome in settled.lost:
            row = recorded.get((outcome.task_id, outcome.lease_token, outcome.ending.value))
            if row is None:
                lost.append(outcome)
            elif row.state == TaskState.QUEUED.value:
                settled.doorbells.append(_doorbell_of(row))
            elif row.finished_at is not None:
                settled.ended.append(_ended_of(row))
        settled.lost = lost

    def _claim_all(
        self, connection: Connection, wish: _Wish, timing: Timing, settled: _Settled
    ) -> None:
        order = sorted(wish.tokens.items())
        rows = self._claim.rows(
            connection,
            rows=encode([{"id": task_id, "token": token} for task_id, token in order]),
            ids=words(self._dialect, [task_id for task_id, _ in order]),
            queues=words(self._dialect, wish.queues),
            worker=wish.worker_id,
            now=timing.micros,
        )
        granted = {row[0]: claimed_from_row(row) for row in rows}
        settled.claimed += [granted[task_id] for task_id in wish.tokens if task_id in granted]
        if not granted:
            known = self._known_worker.first(connection, worker=wish.worker_id)
            settled.is_reaped = known is None

    def _find_to_stop(self, worker_id: str) -> tuple[TaskId, ...]:
        now = time.monotonic()
        with self._lock:
            if now - self._told_at.get(worker_id, -_STOP_CHECK_SECONDS) < _STOP_CHECK_SECONDS:
                return ()
            self._told_at[worker_id] = now
        rows = self._database.read(
            lambda connection: self._to_stop.rows(connection, worker=worker_id)
        )
        return tuple(TaskId(row[0]) for row in rows)


def _tokens(count: int) -> Iterable[str]:
    text = secrets.token_hex(16 * count)
    return (text[start : start + 32] for start in range(0, 32 * count, 32))


def _failure_instead_of(outcome: Outcome) -> Outcome:
    return Outcome(
        task_id=outcome.task_id,
        lease_token=outcome.lease_token,
        ending=Ending.FAILED,
        finished_at=outcome.finished_at,
        error=TaskError(
            kind=ErrorKind.REJECTED,
            message=f"the ledger could not keep how it ended ({outcome.ending.value})",
        ),
        needs_errbacks=True,
    )


def _doorbell_of(row: Any) -> Doorbell:
    return Doorbell(task_id=row.id, name=row.name, queue=row.queue, priority=row.priority)


def _ended_of(row: Any) -> Ended:
    return Ended(
        task_id=row.id,
        state=row.state,
        result=row.result,
        result_codec=Codec(row.result_codec),
        error=error_from_text(row.error),
    )


def _hold_statement(dialect: str) -> Select[Any]:
    rows = incoming(dialect, {"id": TEXT, "lease_token": TEXT})
    # I2: here, and nowhere else, it is checked that an attempt still holds what it completes. From
    # here to the end of the transaction nobody else can change these rows.
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


def _claim_statement(dialect: str) -> Update:
    rows = incoming(dialect, {"id": TEXT, "token": TEXT})
    now = bindparam("now", type_=WHOLE)
    # Kept from being reaped until this commits: a claim in the name of a worker that is gone would
    # never be given back.
    holder = (
        select(workers.c.id, workers.c.name)
        .where(workers.c.id == bindparam("worker", type_=TEXT))
        .with_for_update(read=True, key_share=True)
        .cte("holder")
    )
    due = (
        select(tasks.c.id, rows.c.token)
        .where(
            matched(dialect, tasks.c.id, rows),
            by_id(
                # I2: one holder.
                tasks.c.state == literal_column("'queued'"),
                # I6: only what this worker serves, whatever a message says.
                among(dialect, tasks.c.queue, "queues"),
                tasks.c.cancel_requested_at.is_(None),
                or_(tasks.c.expires_at.is_(None), tasks.c.expires_at > now),
            ),
        )
        .order_by(tasks.c.id)
        .with_for_update(of=tasks)
        .cte("due")
    )
    return (
        update(tasks)
        .where(tasks.c.id == due.c.id, holder.c.id.is_not(None))
        .values(
            state=literal_column("'running'"),
            lease_token=due.c.token,
            worker_id=holder.c.id,
            worker=holder.c.name,
            attempt=tasks.c.attempt + literal_column("1"),
            started_at=now,
            ring_due_at=literal_column("NULL"),
            version=tasks.c.version + literal_column("1"),
        )
        .returning(*CLAIMED_COLUMNS)
    )
