"""The pool's thread: everything between the broker's messages and the tasks that run.

One thread speaks to the ledger and to the runner. Each turn writes what has ended, what follows
from it and the next claims in one transaction, so that everything that gathered while the last
turn was written shares the next one; a lone task waits for nobody. Celery's own state is touched
in the worker's main thread only, through the mailbox.
"""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from celery import states
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import ClaimedTask, TaskId
from celeriac.core.worker import NewWorker
from celeriac.engine.bells import Bells
from celeriac.engine.executor import Report
from celeriac.engine.pool.appetite import Appetite
from celeriac.engine.pool.intake import Intake
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.line import Line
from celeriac.engine.pool.membership import Membership
from celeriac.engine.pool.pauses import Pauses
from celeriac.engine.pool.rhythm import Rhythm
from celeriac.engine.pool.runner import Runner
from celeriac.engine.pool.told import Told
from celeriac.engine.pool.wakeup import Wakeup
from celeriac.engine.runtime import Engine
from celeriac.engine.stamps import bears_stamp
from celeriac.errors import UnavailableError
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

# How often a running task is looked up for a wish to cancel it.
_CANCEL_SECONDS = 0.25
# When nothing has begun or ended for so long, what is claimed and waits is given to others.
_STUCK_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# A worker that was told to end at once tries no more often to write down what it held.
_MOST_FAILURES_AT_THE_END = 5


@dataclass(slots=True)
class _End:
    outcome: Outcome
    job: Job
    report: Report


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
            told, engine.counters, is_async=engine.is_async, is_at_most_once=engine.is_at_most_once
        )
        self._queues = queues
        self._limits = limits
        self._bells = bells
        self._prefetch = prefetch
        self._pauses = Pauses(paused)
        self._prefetched = 0
        self._appetite = Appetite(runner)
        self._rhythm = Rhythm()
        self._thread = threading.Thread(target=self._run, name="celeriac-pool", daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wakeup = Wakeup()
        # Filled from other threads; emptied by this one.
        self._interrupts: deque[str] = deque()
        # Plain truth and no locks: a signal handler may interrupt whoever sets it.
        self._is_stopping = False
        self._is_killed = False
        # This thread's own.
        self._line = Line()
        self._held: dict[str, Job] = {}
        self._ends: list[_End] = []
        self._progress: dict[TaskId, tuple[TaskId, str, str]] = {}
        self._look_at = 0.0
        # When a plain task last began or ended here.
        self._moved_at = 0.0
        self._failures = 0

    # ---- from other threads

    def start(self) -> None:
        """Join as a worker and begin."""
        self._thread.start()

    def receive(self, task_id: TaskId, request: Any) -> None:
        """Take a doorbell that the consumer delivered."""
        self._intake.put(task_id, request)
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
        self.wake()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the thread's end; False when it has not ended in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def is_idle(self) -> bool:
        """Whether nothing is held, wanted or to be written."""
        return self._intake.is_empty and not (self._held or self._ends)

    # ---- told by the runner, in this thread

    def began(self, job: Job, pid: int, slot: int) -> None:
        """Note that a job truly runs."""
        job.began = time.monotonic()
        if not job.is_async:
            self._moved_at = job.began
        job.slot = slot
        self._membership.runs(slot, job.id)
        self._told.accepted(job.request, pid, job.began)

    def progressed(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Take what a task tells of itself; only the latest is written."""
        self._progress[task_id] = (task_id, lease_token, progress)

    def returned(self, jobs: Iterable[Job]) -> None:
        """Take back jobs that wait behind a long one."""
        staying: list[Job] = []
        for job in jobs:
            if job.is_interrupted:
                # Somebody cancelled it while it waited there.
                self._line.ended(job)
                self._end_here(job, Ending.CANCELLED, states.REVOKED)
            else:
                staying.append(job)
        self._line.put_back(staying)

    def ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        """Take a job's outcome for the next transaction."""
        self._line.ended(job)
        if job.slot >= 0:
            # Claimed again and not begun, it would be charged with this worker's death.
            self._membership.runs(job.slot, "")
        if not job.is_async:
            self._moved_at = time.monotonic()
        if outcome.ending not in (Ending.LOST, Ending.RETURNED):
            self._appetite.saw(job, report.runtime_seconds)
        if not self._ends:
            self._rhythm.gathers_since(time.monotonic())
        self._ends.append(_End(outcome, job, report))

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
        if self._is_killed and self._failures > _MOST_FAILURES_AT_THE_END:
            # The ledger is away. What is held goes back when the janitor finds this worker gone.
            return True
        return self._is_stopping and not self._held and not self._ends

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            key.data()

    def _pause(self) -> float:
        """Return how long there is nothing to do unless something comes in."""
        now = time.monotonic()
        latest = self._membership.beat_at
        if self._is_stopping:
            # Nothing new is taken in; look often whether the last one has ended.
            latest = min(latest, now + 0.1)
        if self._held:
            latest = min(latest, self._look_at)
        limit = self._runner.tick(now)
        if limit is not None:
            latest = min(latest, limit)
        if self._intake.has_news:
            latest = now
        elif self._ends:
            latest = min(latest, self._due_at(now))
        if self._failures:
            # The ledger is away: what is held back is tried again after a pause, not at once.
            latest = max(latest, now + self._retry_pause())
        return max(0.0, latest - now)

    def _retry_pause(self) -> float:
        doublings = min(self._failures, 10)
        return min(_FIRST_PAUSE_SECONDS * float(1 << doublings), _LONGEST_PAUSE_SECONDS)

    def _take_in(self) -> None:
        if not self._is_stopping:
            self._intake.look(self._find_held)
        while self._interrupts:
            self._interrupt(self._interrupts.popleft())
        if self._is_stopping:
            self._stop_taking()
        elif self._line:
            self._weed()

    def _find_held(self, task_id: TaskId) -> Any | None:
        job = self._held.get(task_id)
        return None if job is None else job.request

    def _interrupt(self, task_id: str) -> None:
        job = self._held.get(task_id)
        if job is None or job.is_interrupted:
            return
        job.is_interrupted = True
        if self._line.remove(job):
            self._end_here(job, Ending.CANCELLED, states.REVOKED)
        else:
            self._runner.interrupt(task_id)

    def _weed(self) -> None:
        """Let go of what is held here and cannot run soon, or shall not run at all."""
        for job in [each for each in self._line if _is_revoked(each)]:
            self._line.remove(job)
            self._end_here(job, Ending.CANCELLED, states.REVOKED)
        now = self._told.now()
        for job in [each for each in self._line if each.has_expired(now)]:
            # Queued again, it is past its time: the ledger lets nobody claim it and expires it.
            self._line.remove(job)
            self._end_here(job, Ending.UNBEGUN, states.IGNORED)
        if self._is_stuck():
            # Every slot has a long task: another worker may be free.
            for job in self._line.clear_ordinary():
                self._end_here(job, Ending.UNBEGUN, states.IGNORED)

    def _is_stuck(self) -> bool:
        is_full = self._appetite.plain >= self._runner.slots or self._line.is_quarantine
        return is_full and time.monotonic() - self._moved_at > _STUCK_SECONDS

    def _stop_taking(self) -> None:
        """Return what has not begun; and, when killed, what has."""
        unbegun = [*self._line.clear(), *self._runner.give_back()]
        self._intake.close()
        begun: list[Job] = []
        if self._is_killed:
            for job in self._runner.kill():
                (unbegun if job.began is None else begun).append(job)
        for job in unbegun:
            self._end_here(job, Ending.UNBEGUN, states.IGNORED)
        for job in begun:
            # Cut off by this worker's end, for which no task is to blame.
            self._end_here(job, Ending.LOST, states.IGNORED, is_suspect=False)

    def _end_here(self, job: Job, ending: Ending, state: str, *, is_suspect: bool = True) -> None:
        outcome = Outcome(
            task_id=job.claimed.id,
            lease_token=job.claimed.lease_token,
            ending=ending,
            finished_at=self._told.now(),
            is_suspect=is_suspect,
        )
        self._ends.append(_End(outcome, job, Report(state=state)))

    def _turn(self) -> None:
        """Write one transaction, if it is time: what ended, what follows, what is claimed next."""
        now = time.monotonic()
        is_due = now >= self._due_at(now)
        if is_due:
            self._speak()
        self._hand()
        if is_due:
            self._adapt_prefetch()
            self._told.flush()

    def _speak(self) -> None:
        """Say to the ledger what there is to say."""
        try:
            ledger = self._engine.ledger
            worker_id = self._membership.keep(ledger)
            self._pauses.look(ledger)
            self._cancel()
            if self._progress:
                ledger.tasks.set_progress(list(self._progress.values()))
                self._engine.changes.tell(self._progress)
                self._progress.clear()
            self._exchange(ledger, worker_id)
        except UnavailableError as error:
            self._failures += 1
            # Told at the 1st, 2nd, 4th, 8th … failure: an outage shall not fill the log.
            if self._failures.bit_count() == 1:
                logger.warning(
                    "the ledger is unavailable; this worker claims nothing until it is back",
                    extra={"error": str(error), "held": len(self._held)},
                )
        else:
            self._failures = 0

    def _adapt_prefetch(self) -> None:
        is_stuck = self._is_stuck()
        wanted = self._appetite.prefetch(is_stuck=is_stuck)
        # A little more or less is not worth a word to the consumer.
        if abs(wanted - self._prefetched) * 4 > self._prefetched:
            self._prefetched = wanted
            self._prefetch(wanted)
        if is_stuck:
            # After that word: what goes back must not come here again.
            self._intake.give_back(keep=1)

    def _cancel(self) -> None:
        for task_id in self._engine.take_cancellations():
            self._engine.road.cancel([task_id])

    def _due_at(self, now: float) -> float:
        if self._is_stopping:
            return now
        # Async tasks begin when they are claimed: none of them waits behind another one.
        slots = self._runner.slots + self._appetite.interleaved
        return self._rhythm.due_at(
            now,
            ended=len(self._ends),
            held=len(self._held),
            slots=slots,
            is_more=self._intake.has_waiting,
        )

    def _exchange(self, ledger: Ledger, worker_id: str) -> None:
        now = time.monotonic()
        ends, self._ends = self._ends, []
        wanted = self._wanted()
        is_look_due = bool(self._held) and now >= self._look_at
        if not ends and not wanted and not is_look_due:
            return
        if is_look_due:
            self._look_at = now + _CANCEL_SECONDS
        try:
            exchange = ledger.leases.exchange(
                worker_id,
                outcomes=[end.outcome for end in ends],
                wanted=wanted,
                queues=list(self._queues()),
            )
        except UnavailableError:
            self._ends = [*ends, *self._ends]
            self._intake.put_back(wanted)
            raise
        self._rhythm.exchanged(time.monotonic() - now)
        self._bells.ring(exchange.doorbells, exchange.ended)
        begun = (claimed.id for claimed in exchange.claimed)
        self._engine.changes.tell((*(end.outcome.task_id for end in ends), *begun))
        self._after_ends(ends, frozenset(exchange.lost))
        if exchange.is_reaped:
            # Nothing was refused: the next turn finds it out, joins again and asks again.
            self._membership.doubt()
            self._intake.put_back(wanted)
            return
        self._after_claims(exchange.claimed, exchange.refused)
        for task_id in exchange.cancelled_running:
            self._interrupt(task_id)

    def _wanted(self) -> list[TaskId]:
        if self._is_stopping or self._line.is_quarantine:
            return []
        return self._intake.ask_for(
            *self._appetite.room(is_stuck=self._is_stuck()),
            free=self._runner.slots - self._appetite.plain,
        )

    def _after_ends(self, ends: list[_End], lost: frozenset[TaskId]) -> None:
        for end in ends:
            if self._held.pop(end.job.id, None) is not None:
                self._appetite.gave(end.job)
            if end.outcome.task_id in lost:
                self._engine.counters.add("completions_refused")
                logger.warning(
                    "a result was refused: the lease had been given away",
                    extra={"task_id": end.job.id},
                )
            self._told.ended(end.job.request, end.outcome, end.report)

    def _after_claims(self, claimed: Sequence[ClaimedTask], refused: Sequence[TaskId]) -> None:
        for each in claimed:
            request = self._intake.claimed(each.id)
            soft, hard = self._limits(each, request)
            job = Job(each, request, soft_seconds=soft, hard_seconds=hard)
            job.is_async = self._engine.is_async(each.name)
            self._held[each.id] = job
            self._appetite.took(job)
            if _is_revoked(job):
                self._end_here(job, Ending.CANCELLED, states.REVOKED)
            else:
                self._line.put(job)
        self._intake.refused(refused)

    def _hand(self) -> None:
        if self._line:
            jobs = self._line.take(self._runner, len(self._held) - len(self._line))
            if jobs:
                self._runner.hand(jobs)

    def _leave(self) -> None:
        self._runner.stop()
        self._membership.leave()
        self._wakeup.close()
        self._selector.close()


def _is_revoked(job: Job) -> bool:
    stamps = worker_state.revoked_stamps
    return job.id in worker_state.revoked or bool(
        stamps and bears_stamp(job.claimed.headers, stamps)
    )
