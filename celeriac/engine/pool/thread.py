"""The pool's thread: everything between the broker's messages and the tasks that run.

One thread speaks to the ledger and to the runner; what it says to the ledger stands in `talk`.
Everything that gathered while the last turn was written shares the next one; a lone task waits for
nobody. Celery's own state is touched in the worker's main thread only, through the mailbox.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from celery.worker import state as worker_state

from celeriac.core.outcome import Outcome
from celeriac.core.task import ClaimedTask, TaskId
from celeriac.core.worker import NewWorker
from celeriac.engine.bells import Bells
from celeriac.engine.executor import Report
from celeriac.engine.pool.doze import Doze
from celeriac.engine.pool.holding import Holding
from celeriac.engine.pool.intake import Intake
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.membership import Membership
from celeriac.engine.pool.patience import Patience
from celeriac.engine.pool.pauses import Pauses
from celeriac.engine.pool.runner import Runner
from celeriac.engine.pool.strangers import Strangers
from celeriac.engine.pool.talk import Talk
from celeriac.engine.pool.told import Told
from celeriac.engine.pool.wakeup import Wakeup
from celeriac.engine.runtime import Engine
from celeriac.errors import UnavailableError

logger = logging.getLogger(__name__)


class PoolThread:
    """Claims what the consumer delivered, has it run, and completes it."""

    def __init__(
        self,
        engine: Engine,
        runner: Runner,
        told: Told,
        *,
        describe: Callable[[], NewWorker],
        queues: Callable[[], Sequence[str]],
        limits: Callable[[ClaimedTask, Any], tuple[float | None, float | None]],
        bells: Bells,
        prefetch: Callable[[int], None] = lambda _: None,
        paused: Callable[[frozenset[str]], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._runner = runner
        self._told = told
        self._membership = Membership(engine, describe)
        self._intake = Intake(
            told,
            engine.counters,
            is_async=engine.is_async,
            # Asked for each doorbell; a worker that has tasks of a function knows what it is.
            is_at_most_once=cache(engine.is_at_most_once),
        )
        self._strangers = Strangers(engine.counters, lambda rung: bells.ring(rung, ()))
        self._holding = Holding(runner, told.now)
        self._talk = Talk(
            engine,
            told,
            membership=self._membership,
            intake=self._intake,
            holding=self._holding,
            strangers=self._strangers,
            pauses=Pauses(paused),
            bells=bells,
            queues=queues,
            limits=limits,
        )
        self._prefetch = prefetch
        self._prefetched = 0
        self._thread = threading.Thread(target=self._run, name="celeriac-pool", daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wakeup = Wakeup()
        # Filled from other threads; emptied by this one.
        self._interrupts: deque[str] = deque()
        # Plain truth and no locks: a signal handler may interrupt whoever sets it.
        self._is_stopping = False
        self._is_killed = False
        # This thread's own.
        self._doze = Doze()
        # Never so long that it misses its lease after an outage.
        self._patience = Patience(engine.settings.lease.total_seconds() / 3)

    # ---- from other threads

    def start(self) -> None:
        """Join as a worker and begin."""
        self._thread.start()

    def receive_all(self, requests: Iterable[Any]) -> None:
        """Take doorbells that the consumer delivered together."""
        self._intake.put_all(requests)
        # Once: this thread and the consumer's would take the interpreter from each other.
        self.wake()

    def meet_stranger(self, task_id: TaskId, name: str) -> None:
        """Take a task whose doorbell came and that has no function here."""
        self._strangers.meet(task_id, name)
        self.wake()

    def interrupt(self, task_id: str) -> None:
        """Have a running task stopped."""
        self._interrupts.append(task_id)
        self.wake()

    def wake(self) -> None:
        """Have the thread look at what came in."""
        self._wakeup.wake()

    def stop(self, *, kill: bool = False) -> None:
        """Finish what runs (or kill it and give it back), write it down, and leave.

        Callable from any thread and from a signal handler.
        """
        if kill:
            self._is_killed = True
        self._is_stopping = True
        self._patience.hurry()
        self.wake()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the thread's end; False when it has not ended in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def is_idle(self) -> bool:
        """Whether nothing is held, wanted or to be written."""
        return self._intake.is_empty and self._holding.is_empty

    # ---- told by the runner, in this thread

    def began(self, job: Job, pid: int, slot: int) -> None:
        """Note that a job truly runs."""
        began = self._holding.began(job, slot)
        self._membership.runs(slot, job.id)
        self._talk.began(TaskId(job.id), job.claimed.name, pid)
        self._told.accepted(job.request, pid, began)

    def progressed(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Take what a task tells of itself; only the latest is written."""
        self._talk.progressed(task_id, lease_token, progress)

    def returned(self, jobs: Iterable[Job]) -> None:
        """Take back jobs that wait behind a long one."""
        returned = list(jobs)
        for job in returned:
            self._forget_slot(job)
        self._holding.returned(returned)

    def asked(self) -> None:
        """Take note that a task has asked for something, and may ask for more."""
        self._doze.disturbed(time.monotonic())

    def ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        """Take a job's outcome for the next transaction."""
        self._forget_slot(job)
        self._holding.ended(job, outcome, report)

    def _forget_slot(self, job: Job) -> None:
        if job.slot >= 0:
            # Claimed again and not begun, it would be charged with this worker's death.
            self._membership.rests(job.slot)

    # ---- the loop

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            # The worker's boundary: without this thread it would sit there and run nothing.
            logger.critical("the pool's thread failed; this worker ends", exc_info=True)
            worker_state.should_terminate = 1

    def _work(self) -> None:
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._wakeup.clear)
        self._runner.start(self, self._selector)
        while not self._is_over():
            self._wait()
            self._take_in()
            self._turn()
        self._leave()

    def _is_over(self) -> bool:
        if self._is_killed and self._patience.is_at_its_end:
            # The ledger is away. What is held goes back when the janitor finds this worker gone.
            return True
        return self._is_stopping and self._holding.is_empty

    def _wait(self) -> None:
        if self._holding.has_ends and self._holding.is_ahead:
            now = time.monotonic()
            if pause := self._doze.seconds(now, due_at=self._due_at(now)):
                time.sleep(pause)
        for key, _ in self._selector.select(self._pause()):
            key.data()

    def _pause(self) -> float:
        """Return how long there is nothing to do unless something comes in."""
        now = time.monotonic()
        latest = min(self._membership.beat_at, self._strangers.due_at)
        if self._is_stopping:
            # Nothing new is taken in; look often whether the last one has ended.
            latest = min(latest, now + 0.1)
        if self._holding:
            latest = min(latest, self._talk.look_at)
        if self._intake.has_news or self._talk.is_hungry:
            latest = now
        elif self._holding.has_ends:
            latest = min(latest, self._due_at(now))
        # The ledger is away: what is held back is tried again after a pause, not at once.
        latest = max(latest, self._patience.again_at, self._holding.rests_until)
        # Nor do the limits of what runs wait for a ledger.
        limit = self._runner.tick(now)
        return max(0.0, (latest if limit is None else min(latest, limit)) - now)

    def _take_in(self) -> None:
        if not self._is_stopping:
            self._intake.look(self._holding.find_request)
        while self._interrupts:
            self._holding.interrupt(self._interrupts.popleft())
        if self._is_stopping:
            self._intake.close()
            self._holding.give_up(kill=self._is_killed)
        else:
            self._holding.weed()

    def _turn(self) -> None:
        """Write one transaction, if it is time: what ended, what follows, what is claimed next."""
        self._membership.record()
        now = time.monotonic()
        is_due = now >= self._due_at(now)
        if is_due:
            self._speak()
        self._holding.hand()
        if is_due:
            self._adapt_prefetch()
            self._told.flush()

    def _speak(self) -> None:
        try:
            self._talk.speak(is_claiming=not self._is_stopping)
        except UnavailableError as error:
            self._patience.failed(error, held=len(self._holding))
        else:
            self._patience.succeeded()

    def _adapt_prefetch(self) -> None:
        wanted = self._holding.prefetch()
        # A little more or less is not worth a word to the consumer.
        if abs(wanted - self._prefetched) * 4 > self._prefetched:
            self._prefetched = wanted
            self._prefetch(wanted)
        if self._holding.is_stuck():
            # After that word: what goes back must not come here again.
            self._intake.give_back(keep=1)

    def _due_at(self, now: float) -> float:
        again_at = self._patience.again_at
        if self._is_stopping:
            return max(now, again_at)
        return max(again_at, self._holding.due_at(now, is_more=self._intake.has_waiting))

    def _leave(self) -> None:
        self._runner.stop()
        with contextlib.suppress(UnavailableError):
            # Without a ledger they are left to the janitor.
            self._strangers.leave(self._engine.ledger)
        self._membership.leave()
        self._wakeup.close()
        self._selector.close()
