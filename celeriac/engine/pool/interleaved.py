"""A runner's async tasks, where they run in the worker's own process."""

from __future__ import annotations

import os
import selectors
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from celeriac.core.outcome import Outcome
from celeriac.engine.executor import Executor, Report
from celeriac.engine.pool.async_slots import AsyncSlots
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.runner import Events
from celeriac.engine.pool.slots import Numbers
from celeriac.engine.pool.wakeup import Wakeup


class Interleaved:
    """Hands async tasks to an event loop, and takes their ends in the pool's thread."""

    def __init__(self, executor: Executor, slots: int, numbers: Numbers) -> None:
        self.slots = slots
        self._numbers = numbers
        self._loop = AsyncSlots(executor, on_begun=self._on_begun, on_ended=self._on_ended)
        self._jobs: dict[str, Job] = {}
        # What the event loop's thread tells; done in the pool's.
        self._told: deque[Callable[[], None]] = deque()
        self._wakeup = Wakeup()
        self._events: Events

    # ---- in the pool's thread

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        """Begin to listen."""
        self._events = events
        selector.register(self._wakeup, selectors.EVENT_READ, self._collect)

    def room(self) -> int:
        """Return how many more jobs it takes now."""
        return self.slots - len(self._jobs)

    def hand(self, job: Job) -> None:
        """Have a job run."""
        self._jobs[job.id] = job
        self._loop.begin(job)

    def stop(self, task_id: str) -> bool:
        """Cancel a task, if it is here; whether it is."""
        if task_id not in self._jobs:
            return False
        self._loop.stop(task_id)
        return True

    def give_back(self) -> list[Job]:
        """Return what has not begun."""
        jobs = self._loop.give_back()
        for job in jobs:
            del self._jobs[job.id]
        return jobs

    def kill(self) -> list[Job]:
        """Stop everything where it waits, and return what was running."""
        jobs = list(self._jobs.values())
        self._jobs.clear()
        self._loop.cut_off()
        return jobs

    def close(self) -> None:
        """End the event loop when nothing runs any more."""
        self._loop.close()
        self._wakeup.close()

    def _collect(self) -> None:
        self._wakeup.clear()
        while self._told:
            self._told.popleft()()

    def _begun(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.id in self._jobs:
                job.slot = self._numbers.take()
                self._events.began(job, os.getpid(), job.slot)

    def _ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        if self._jobs.pop(job.id, None) is None:
            # Given up in a cold shutdown; its lease is gone, and its late word with it.
            return
        self._numbers.give_back(job.slot)
        self._events.ended(job, outcome, report)

    # ---- in the event loop's thread

    def _on_begun(self, jobs: Sequence[Job]) -> None:
        self._told.append(partial(self._begun, jobs))
        self._wakeup.wake()

    def _on_ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        self._told.append(partial(self._ended, job, outcome, report))
        self._wakeup.wake()
