"""What a worker says to the ledger, and what it makes of the answers.

What has ended, what follows from it and the next claims are one transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from celeriac.core.outcome import Ending
from celeriac.core.task import ClaimedTask, TaskId
from celeriac.engine.bells import Bells
from celeriac.engine.metas import progress_of_retry, progress_of_start
from celeriac.engine.pool.holding import End, Holding
from celeriac.engine.pool.intake import Intake
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.membership import Membership
from celeriac.engine.pool.pauses import Pauses
from celeriac.engine.pool.strangers import Strangers
from celeriac.engine.pool.told import Told
from celeriac.engine.road import cancel_all
from celeriac.engine.runtime import Engine
from celeriac.engine.troubles import list_troubles
from celeriac.errors import UnavailableError
from celeriac.ledger.exchange import Exchange
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

# How often a running task is looked up for a wish to cancel it.
_CANCEL_SECONDS = 0.25


class Talk:
    """Keeps the ledger up to date with what one worker holds; used in the pool's thread only."""

    def __init__(
        self,
        engine: Engine,
        told: Told,
        *,
        membership: Membership,
        intake: Intake,
        holding: Holding,
        strangers: Strangers,
        pauses: Pauses,
        bells: Bells,
        queues: Callable[[], Sequence[str]],
        limits: Callable[[ClaimedTask, Any], tuple[float | None, float | None]],
    ) -> None:
        self._engine = engine
        self._told = told
        self._membership = membership
        self._intake = intake
        self._holding = holding
        self._strangers = strangers
        self._pauses = pauses
        self._bells = bells
        self._queues = queues
        self._limits = limits
        self._progress: dict[TaskId, tuple[TaskId, str, str]] = {}
        # Tasks that have begun, and what plain clients are to see of it.
        self._begun: dict[TaskId, str] = {}
        # The id under which it claimed what it holds.
        self._worker_id = ""
        # How often the ledger had been lost when what is held was last made sure of.
        self._losses = 0
        # When to look for wishes to cancel what runs, by the monotonic clock.
        self.look_at = 0.0
        # More doorbells wait than one exchange could ask for, or there is room again since claims
        # were refused: nothing that ends will tell.
        self.is_hungry = False

    def progressed(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Take what a task tells of itself; only the latest is written."""
        self._progress[task_id] = (task_id, lease_token, progress)

    def began(self, task_id: TaskId, name: str, pid: int) -> None:
        """Have plain clients see that a task has begun, where Celery would have shown it."""
        if self._engine.is_tracked(name):
            self._begun[task_id] = progress_of_start(pid)

    def speak(self, *, is_claiming: bool) -> None:
        """Say what there is to say.

        Args:
            is_claiming: Whether to take new tasks.

        Raises:
            UnavailableError: The ledger did not answer. What was not said is said the next time.
        """
        ledger = self._engine.ledger
        worker_id = self._membership.keep(ledger)
        if worker_id != self._worker_id:
            self._worker_id = worker_id
            self._holding.disown()
        self._hold_on(ledger)
        self._pauses.look(ledger)
        self._cancel()
        if self._progress:
            ledger.tasks.set_progress(list(self._progress.values()))
            self._engine.changes.tell(self._progress)
            self._bells.show([(task_id, text) for task_id, _, text in self._progress.values()])
            self._progress.clear()
        self._exchange(ledger, worker_id, is_claiming=is_claiming)
        if self._begun:
            self._bells.show([*self._begun.items()])
            self._begun.clear()
        self._strangers.look(ledger)

    def _hold_on(self, ledger: Ledger) -> None:
        """Make sure of what is held once the ledger was lost: falling, it may forget claims."""
        losses = ledger.losses
        if losses == self._losses:
            return
        if held := self._holding.tokens():
            forgotten = ledger.leases.hold_on(self._worker_id, held)
            if forgotten:
                logger.warning(
                    "the ledger fell and had forgotten claims; they stand again",
                    extra={"count": len(forgotten)},
                )
        self._losses = losses

    def _cancel(self) -> None:
        wanted = self._engine.take_cancellations()
        try:
            # Told behind this thread's back: no broker may hold up what ends meanwhile.
            cancel_all(self._engine.ledger, wanted, lambda ended: self._bells.ring((), ended))
        except UnavailableError:
            # Asked for once, and by nobody again.
            self._engine.put_back_cancellations(wanted)
            raise

    def _exchange(self, ledger: Ledger, worker_id: str, *, is_claiming: bool) -> None:
        now = time.monotonic()
        self._holding.pace(is_brief=ledger.is_awaited)
        ends = self._holding.take_ends()
        wanted = self._wanted() if is_claiming else []
        self.is_hungry = False
        is_look_due = bool(self._holding) and now >= self.look_at
        if not ends and not wanted and not is_look_due:
            return
        if is_look_due:
            self.look_at = now + _CANCEL_SECONDS
        try:
            exchange = ledger.leases.exchange(
                worker_id,
                outcomes=[end.outcome for end in ends],
                wanted=wanted,
                queues=list(self._queues()),
            )
        except UnavailableError:
            self._holding.put_back(ends)
            self._intake.put_back(wanted)
            raise
        done = time.monotonic()
        self._holding.exchanged(done - now, done)
        self._bells.ring(exchange.doorbells, exchange.ended)
        begun = (claimed.id for claimed in exchange.claimed)
        self._engine.changes.tell((*(end.outcome.task_id for end in ends), *begun))
        self._after_ends(ends, frozenset(exchange.lost))
        self._tell_troubles(ends, exchange)
        if exchange.is_reaped:
            # Nothing was refused: the next turn finds it out, joins again and asks again.
            self._membership.doubt()
            self._intake.put_back(wanted)
            return
        self._after_claims(exchange.claimed, exchange.refused)
        is_cut_off = self._holding.is_cut_off(len(wanted))
        self.is_hungry = self._intake.has_waiting and (bool(exchange.refused) or is_cut_off)
        for task_id in exchange.cancelled_running:
            self._holding.interrupt(task_id)

    def _wanted(self) -> list[TaskId]:
        if self._holding.is_quarantine:
            return []
        return self._intake.ask_for(*self._holding.room(), free=self._holding.free_slots())

    def _after_ends(self, ends: list[End], lost: frozenset[TaskId]) -> None:
        retried: list[tuple[TaskId, str]] = []
        for end in ends:
            self._holding.wrote(end)
            if self._begun:
                # How it ended is told: short tasks are never seen to have begun.
                self._begun.pop(end.outcome.task_id, None)
            if end.outcome.ending is Ending.RETRIED and end.outcome.task_id not in lost:
                retried.append((end.outcome.task_id, progress_of_retry(end.outcome.error)))
            if end.outcome.task_id in lost:
                self._engine.counters.add("completions_refused")
                logger.warning(
                    "a result was refused: the lease had been given away",
                    extra={"task_id": end.job.id},
                )
            self._told.ended(end.job.request, end.outcome, end.report)
        if retried:
            self._bells.show(retried)

    def _tell_troubles(self, ends: Sequence[End], exchange: Exchange) -> None:
        tell = self._engine.on_trouble
        if tell is None:
            return
        attempts = ((end.job.claimed, end.outcome) for end in ends)
        if troubles := list_troubles(attempts, ended=exchange.ended, lost=exchange.lost):
            tell(troubles)

    def _after_claims(self, claimed: Sequence[ClaimedTask], refused: Sequence[TaskId]) -> None:
        for each in claimed:
            request = self._intake.claimed(each.id)
            soft, hard = self._limits(each, request)
            job = Job(each, request, soft_seconds=soft, hard_seconds=hard)
            job.is_async = self._engine.is_async(each.name)
            self._holding.took(job)
        self._intake.refused(refused)
