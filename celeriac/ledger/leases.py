"""The worker's side of the ledger: what it completes and what it claims, in one transaction."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, literal_column, select

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import TaskError, TaskId
from celeriac.errors import CommitInDoubtError, LedgerUnavailableError
from celeriac.ledger.arrivals import Arrivals, Timing
from celeriac.ledger.claims import Claims, Wish
from celeriac.ledger.completions import Completions, is_plain
from celeriac.ledger.database import Database, RefusedRowError
from celeriac.ledger.endings import Endings
from celeriac.ledger.exchange import Exchange, Settled
from celeriac.ledger.forgotten import Forgotten
from celeriac.ledger.incoming import is_sound
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import tasks
from celeriac.ledger.transaction import Shape
from celeriac.ledger.workers import Workers

logger = logging.getLogger(__name__)

# How often a worker is told which of its tasks shall stop, at most: an exchange comes every few
# milliseconds, and a person who cancels does not notice a quarter of a second.
_STOP_CHECK_SECONDS = 0.25


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
        self._claims = Claims(database)
        self._completions = Completions(database, arrivals, endings)
        self._forgotten = Forgotten(self._claims, self._completions)
        self._ring_again = ring_again
        to_stop = select(tasks.c.id).where(
            tasks.c.worker_id == bindparam("worker"),
            tasks.c.state == literal_column("'running'"),
            tasks.c.cancel_requested_at.is_not(None),
        )
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
        wish = Wish.of(worker_id, sound, queues)
        settled = Settled()
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

    def hold_on(self, worker_id: str, held: Mapping[TaskId, str]) -> Sequence[TaskId]:
        """Claim again what a worker holds and the ledger, having fallen, may not know of.

        Args:
            worker_id: The worker.
            held: Its tasks, with the tokens it holds them by.

        Returns:
            What had been forgotten.

        Raises:
            LedgerUnavailableError: The database did not answer or would not commit.
        """
        timing = Timing.rung_by_caller(self._clock(), self._ring_again)
        return [
            *self._database.write(
                lambda connection: self._forgotten.claim(connection, worker_id, held, timing),
                shape=Shape.BY_ID,
            )
        ]

    def leave(self, worker_id: str) -> None:
        """Forget a worker. What it still held goes back, and none of it is to blame."""
        super().leave(worker_id)
        self._forget(worker_id)

    def beat(self, worker_id: str) -> bool:
        """Raise a worker's sequence number; False when it is no longer known: it was reaped."""
        is_known = super().beat(worker_id)
        if not is_known:
            self._forget(worker_id)
        return is_known

    def _forget(self, worker_id: str) -> None:
        """Let go of a worker that is no more: one that joins again has another id."""
        with self._lock:
            self._told_at.pop(worker_id, None)
            self._in_doubt.pop(worker_id, None)

    def _take_doubted(self, worker_id: str) -> dict[str, TaskId]:
        with self._lock:
            return self._in_doubt.pop(worker_id, {})

    def _keep_doubted(self, worker_id: str, doubted: dict[str, TaskId]) -> None:
        if doubted:
            with self._lock:
                self._in_doubt.setdefault(worker_id, {}).update(doubted)

    def _settle(self, outcomes: Sequence[Outcome], wish: Wish) -> Settled:
        """Write a batch in one transaction, or in halves when something in it is refused."""
        try:
            if not outcomes:
                # A claim promises nobody anything: what a power cut takes back was held by a
                # worker that it took as well. But for what must not run again if it ran at all.
                return self._database.write_passing(
                    lambda connection: self._step(connection, outcomes, wish),
                    lambda settled: settled.is_any_at_most_once,
                    shape=Shape.ALONE,
                )
            if not wish.tokens and all(map(is_plain, outcomes)):
                return self._finish(outcomes, wish)
            return self._complete(outcomes, wish)
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

    def _finish(self, outcomes: Sequence[Outcome], wish: Wish) -> Settled:
        """Write outcomes of which nothing follows; those of which something does, after them."""

        def act(connection: Connection) -> tuple[Settled, Sequence[Outcome]]:
            settled = Settled()
            return settled, self._completions.finish(connection, outcomes, settled)

        settled, rest = self._database.write(act, shape=Shape.ALONE)
        if rest:
            settled.add(self._complete(rest, wish))
        return settled

    def _complete(self, outcomes: Sequence[Outcome], wish: Wish) -> Settled:
        return self._database.write(
            lambda connection: self._step(connection, outcomes, wish), shape=Shape.BY_ID
        )

    def _settle_as_failure(self, outcome: Outcome, wish: Wish, refusal: RefusedRowError) -> Settled:
        logger.error(
            "the end of a task cannot be recorded as it is; it is recorded as a failure",
            extra={"task_id": outcome.task_id, "reason": refusal.reason},
        )
        try:
            return self._complete([_failure_instead_of(outcome)], wish)
        except RefusedRowError as error:
            raise LedgerUnavailableError(
                f"not even a failure was recorded: {error.reason}"
            ) from error

    def _step(self, connection: Connection, outcomes: Sequence[Outcome], wish: Wish) -> Settled:
        timing = Timing.rung_by_caller(self._clock(), self._ring_again)
        settled = Settled()
        if outcomes:
            self._completions.complete(connection, outcomes, timing, settled)
            if settled.lost:
                self._forgotten.complete(connection, wish.worker_id, timing, settled)
        if wish.tokens:
            self._claims.claim(connection, wish, timing, settled, is_alone=not outcomes)
        return settled

    def _find_to_stop(self, worker_id: str) -> tuple[TaskId, ...]:
        now = time.monotonic()
        with self._lock:
            if now - self._told_at.get(worker_id, -_STOP_CHECK_SECONDS) < _STOP_CHECK_SECONDS:
                return ()
            self._told_at[worker_id] = now
        try:
            rows = self._database.read(
                lambda connection: self._to_stop.rows(connection, worker=worker_id)
            )
        except LedgerUnavailableError:
            # What was claimed is committed by now, and must be told: nobody else knows of it, and
            # a living worker keeps its leases. The next exchange says that the ledger is away.
            return ()
        return tuple(TaskId(row[0]) for row in rows)


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
