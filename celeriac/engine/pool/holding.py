"""What a worker has leases of: what waits for a slot, what runs, and what has ended unwritten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import states
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool.appetite import Appetite
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.line import Line
from celeriac.engine.pool.rhythm import Rhythm
from celeriac.engine.pool.runner import Runner
from celeriac.engine.stamps import bears_stamp

# When nothing has begun or ended for so long, what is claimed and waits is given to others.
_STUCK_SECONDS = 0.5


@dataclass(slots=True)
class End:
    """One end of an attempt that is to be written."""

    outcome: Outcome
    job: Job
    report: Report


class Holding:
    """The jobs of one worker, from their claims to the writing of their ends.

    Used in the pool's thread only.
    """

    def __init__(self, runner: Runner, now: Callable[[], datetime]) -> None:
        self._runner = runner
        self._now = now
        self._appetite = Appetite(runner)
        self._line = Line()
        self._rhythm = Rhythm()
        self._jobs: dict[str, Job] = {}
        self._ends: list[End] = []
        # Of the jobs, those that have to begin before some moment.
        self._expiring = 0
        # When a plain task last began or ended here.
        self._moved_at = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held and nothing is to be written."""
        return not (self._jobs or self._ends)

    @property
    def has_ends(self) -> bool:
        """Whether there is something to write."""
        return bool(self._ends)

    @property
    def is_ahead(self) -> bool:
        """Whether the runner was handed more than it runs at once: its slots go on by themselves.

        A runner that is handed one job for each slot waits for the next one after each.
        """
        handed = len(self._jobs) - len(self._line) - len(self._ends)
        return handed > self._runner.slots

    @property
    def is_quarantine(self) -> bool:
        """Whether a suspect runs or is next, so that nothing else is claimed."""
        return self._line.is_quarantine

    def find_request(self, task_id: TaskId) -> Any | None:
        """Return Celery's request of a task that is held."""
        job = self._jobs.get(task_id)
        return None if job is None else job.request

    def tokens(self) -> dict[TaskId, str]:
        """Return what is held, and by which tokens."""
        return {job.claimed.id: job.claimed.lease_token for job in self._jobs.values()}

    def is_stuck(self) -> bool:
        """Whether every slot has a long task."""
        is_full = self._appetite.plain >= self._runner.slots or self._line.is_quarantine
        return is_full and time.monotonic() - self._moved_at > _STUCK_SECONDS

    # ---- on its way

    def took(self, job: Job) -> None:
        """Take a job that was claimed."""
        if not self._jobs:
            # Nothing was held up before there was anything.
            self._moved_at = time.monotonic()
        self._jobs[job.id] = job
        self._appetite.took(job)
        self._expiring += job.claimed.expires_micros is not None
        if _is_revoked(job):
            self._end(job, Ending.CANCELLED, states.REVOKED)
        else:
            self._line.put(job)

    def hand(self) -> None:
        """Hand what can begin to the runner."""
        if self._line:
            jobs = self._line.take(self._runner, len(self._jobs) - len(self._line))
            if jobs:
                self._runner.hand(jobs)

    def began(self, job: Job, slot: int) -> float:
        """Take note that a job truly runs; return since when."""
        began = job.began = time.monotonic()
        if not job.is_async:
            self._moved_at = began
        job.slot = slot
        return began

    def returned(self, jobs: Iterable[Job]) -> None:
        """Take back jobs that wait behind a long one."""
        staying: list[Job] = []
        for job in jobs:
            # Its turn may have seemed to have come: charged with a crash is only what truly ran.
            job.forget_begin()
            if job.is_interrupted:
                # Somebody cancelled it while it waited there.
                self._line.ended(job)
                self._end(job, Ending.CANCELLED, states.REVOKED)
            else:
                staying.append(job)
        self._line.put_back(staying)

    def interrupt(self, task_id: str) -> None:
        """Stop a job, wherever it is."""
        job = self._jobs.get(task_id)
        if job is None or job.is_interrupted:
            return
        job.is_interrupted = True
        if self._line.remove(job):
            self._end(job, Ending.CANCELLED, states.REVOKED)
        else:
            self._runner.interrupt(task_id)

    def weed(self) -> None:
        """Let go of what waits here and cannot run soon, or shall not run at all."""
        if not self._line:
            return
        if worker_state.revoked or worker_state.revoked_stamps:
            for job in [each for each in self._line if _is_revoked(each)]:
                self._line.remove(job)
                self._end(job, Ending.CANCELLED, states.REVOKED)
        now = self._now()
        late = [each for each in self._line if each.has_expired(now)] if self._expiring else ()
        for job in late:
            # Queued again, it is past its time: the ledger lets nobody claim it and expires it.
            self._line.remove(job)
            self._end(job, Ending.UNBEGUN, states.IGNORED)
        if self.is_stuck():
            # Every slot has a long task: another worker may be free.
            for job in self._line.clear_held_up():
                self._end(job, Ending.UNBEGUN, states.IGNORED)

    def disown(self) -> None:
        """Begin nothing of what waits here: its leases were given away."""
        for job in self._line.clear():
            self._end(job, Ending.UNBEGUN, states.IGNORED)

    def give_up(self, *, kill: bool) -> None:
        """Return what has not begun; and, if it is to be killed, what has."""
        unbegun = [*self._line.clear(), *self._runner.give_back()]
        begun: list[Job] = []
        if kill:
            for job in self._runner.kill():
                (unbegun if job.began is None else begun).append(job)
        for job in unbegun:
            self._end(job, Ending.UNBEGUN, states.IGNORED)
        for job in begun:
            # Cut off by this worker's end, for which no task is to blame.
            self._end(job, Ending.LOST, states.IGNORED, is_suspect=False)

    # ---- at its end

    def ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        """Take a job's outcome, to be written."""
        self._line.ended(job)
        now = time.monotonic()
        if not job.is_async:
            self._moved_at = now
        if outcome.ending not in (Ending.LOST, Ending.RETURNED):
            self._appetite.saw(job, report.runtime_seconds)
        if not self._ends:
            self._rhythm.gathers_since(now)
        self._ends.append(End(outcome, job, report))

    def take_ends(self) -> list[End]:
        """Return what is to be written by one exchange, once."""
        most = self._rhythm.most
        ends, self._ends = self._ends[:most], self._ends[most:]
        return ends

    def put_back(self, ends: list[End]) -> None:
        """Have ends written later: the ledger did not answer."""
        self._ends = [*ends, *self._ends]

    def wrote(self, end: End) -> None:
        """Let go of a job whose end is written."""
        if self._jobs.pop(end.job.id, None) is not None:
            self._appetite.gave(end.job)
            self._expiring -= end.job.claimed.expires_micros is not None

    # ---- how much, and when

    def room(self) -> tuple[int, int]:
        """Return how many plain and how many async tasks to claim by one exchange."""
        plain, interleaved = self._appetite.room(is_stuck=self.is_stuck())
        plain = min(plain, self._rhythm.most)
        return plain, min(interleaved, self._rhythm.most - plain)

    def is_cut_off(self, wanted: int) -> bool:
        """Return whether so many claims are as many as one exchange may ask for."""
        return wanted >= self._rhythm.most

    def free_slots(self) -> int:
        """Return how many slots have nothing to do."""
        return self._runner.slots - self._appetite.plain

    def prefetch(self) -> int:
        """Return how many doorbells to have fetched."""
        return self._appetite.prefetch(is_stuck=self.is_stuck())

    def due_at(self, now: float, *, is_more: bool) -> float:
        """Return when to speak to the ledger, by the monotonic clock.

        Args:
            now: This moment.
            is_more: There is more to claim.
        """
        # Async tasks begin when they are claimed: none of them waits behind another one.
        slots = self._runner.slots + self._appetite.interleaved
        return self._rhythm.due_at(
            now, ended=len(self._ends), held=len(self._jobs), slots=slots, is_more=is_more
        )

    def pace(self, *, is_brief: bool) -> None:
        """Take note whether callers wait for the ledger while this worker writes."""
        self._rhythm.is_brief = is_brief

    def exchanged(self, seconds: float, now: float) -> None:
        """Take note of how long it took to speak to the ledger, until now."""
        self._rhythm.exchanged(seconds, now)

    @property
    def rests_until(self) -> float:
        """Until when the ledger is left to others, by the monotonic clock."""
        return self._rhythm.rests_until

    def _end(self, job: Job, ending: Ending, state: str, *, is_suspect: bool = True) -> None:
        """End a job here, without its runner."""
        outcome = Outcome(
            task_id=job.claimed.id,
            lease_token=job.claimed.lease_token,
            ending=ending,
            finished_at=self._now(),
            is_suspect=is_suspect,
        )
        self._ends.append(End(outcome, job, Report(state=state)))


def _is_revoked(job: Job) -> bool:
    stamps = worker_state.revoked_stamps
    return job.id in worker_state.revoked or bool(
        stamps and bears_stamp(job.claimed.headers, stamps)
    )
