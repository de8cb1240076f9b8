"""The runner of threads: for tasks that wait more than they compute, and where nothing forks.

A thread cannot be killed. Limits and cancelling raise in it at its next step in Python; a task that
sits in one long call to something else notices when that returns.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import selectors
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from celery import signals, states
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.outcome import Ending, Outcome
from celeriac.engine.executor import Executor, Report
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.pool.ends import ended, timed_out
from celeriac.engine.pool.interleaved import Interleaved
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.runner import Events, Runner
from celeriac.engine.pool.slots import Numbers
from celeriac.engine.pool.wakeup import Wakeup

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 1.0
# An exception that was thrown arrives at the thread's next step; a few more are certain.
_STEPS_TO_ARRIVE = 5


class _StoppedError(BaseException):
    """Ends a running task, through whatever it catches."""


class _Slot:
    """One thread and what it runs."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.thread: threading.Thread
        self.lock = threading.Lock()
        self.job: Job | None = None

    def throw(self, job: Job, error: type[BaseException]) -> None:
        """Raise in the thread, if it still runs this job."""
        with self.lock:
            if self.job is job:
                _raise_in(self.thread.ident, error)

    def end(self) -> None:
        """The job has ended: nothing more is thrown, and what is on its way arrives here."""
        with self.lock:
            self.job = None
        # Not taken back by throwing nothing: Python 3.11 then looks for an exception before every
        # instruction of every thread from then on.
        for _ in range(_STEPS_TO_ARRIVE):
            time.sleep(0)


def _raise_in(thread_id: int | None, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id or 0), ctypes.py_object(error)
    )


class ThreadsRunner:
    """Runs as many tasks at a time as it has threads."""

    name = "threads"

    def __init__(self, executor: Executor, slots: int, *, async_slots: int = 100) -> None:
        self._executor = executor
        # Set from any thread; the pool's thread sees to it.
        self._wanted = slots
        self.async_slots = async_slots
        self._numbers = Numbers()
        self._interleaved = Interleaved(executor, async_slots, self._numbers)
        self._threads: list[_Slot] = []
        # Threads that were told to end and have not.
        self._leaving = 0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # What the threads tell: a job began in a slot, or ended.
        self._told: deque[tuple[Any, ...]] = deque()
        self._wakeup = Wakeup()
        self._events: Events
        self._busy: dict[str, tuple[Job, _Slot | None]] = {}

    @property
    def slots(self) -> int:
        """Tasks that can run at the same time, async ones apart."""
        return self._wanted

    def resize(self, slots: int) -> None:
        """Have another number of threads; callable from any thread."""
        self._wanted = max(0, slots)

    # ---- in the pool's thread

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        """Start the threads."""
        self._events = events
        selector.register(self._wakeup, selectors.EVENT_READ, self._collect)
        self._interleaved.start(events, selector)
        self._keep_threads()

    def room(self) -> int:
        """Return how many threads have nothing to do."""
        return max(0, self._wanted - len(self._busy))

    def async_room(self, wanted: int) -> int:
        """Return how many more async jobs it takes now."""
        return self._interleaved.room()

    def hand(self, jobs: Iterable[Job]) -> None:
        """Have jobs run."""
        for job in jobs:
            if job.is_async:
                self._interleaved.hand(job)
            else:
                self._busy[job.id] = (job, None)
                self._jobs.put(job)

    def interrupt(self, task_id: str) -> None:
        """Stop a running task at its next step in Python, an async one where it waits."""
        if self._interleaved.stop(task_id):
            return
        job, slot = self._busy.get(task_id, (None, None))
        if job is not None and slot is not None:
            slot.throw(job, _StoppedError)

    def tick(self, now: float) -> float | None:
        """Keep the time limits of running tasks; the event loop keeps those of async ones."""
        self._keep_threads()
        due: list[float] = []
        for job, slot in self._busy.values():
            if slot is None:
                continue
            if job.hard_due(now):
                job.is_timed_out = True
                slot.throw(job, _StoppedError)
            elif job.soft_due(now):
                job.is_soft_told = True
                slot.throw(job, SoftTimeLimitExceeded)
            due += job.limits_to_come()
        return min(due, default=None)

    def give_back(self) -> list[Job]:
        """Return jobs that no thread has taken yet, nor the event loop."""
        jobs = self._interleaved.give_back()
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs
            if job is not None:
                del self._busy[job.id]
                jobs.append(job)

    def kill(self) -> list[Job]:
        """Stop everything at its next step, and return what was running."""
        jobs = [*(job for job, _ in self._busy.values()), *self._interleaved.kill()]
        for job, slot in self._busy.values():
            if slot is not None:
                slot.throw(job, _StoppedError)
        self._busy.clear()
        return jobs

    def stop(self) -> None:
        """End the threads; one that does not end goes with the process."""
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + _JOIN_SECONDS
        for slot in self._threads:
            slot.thread.join(max(0.0, deadline - time.monotonic()))
        self._interleaved.close()
        self._wakeup.close()

    def facts(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        return {
            "processes": [os.getpid()],
            "max-concurrency": self.slots,
            "async-slots": self.async_slots,
            "timeouts": (),
        }

    def _keep_threads(self) -> None:
        for _ in range(self._wanted + self._leaving - len(self._threads)):
            slot = _Slot(self._numbers.take())
            name = f"celeriac-slot-{slot.number}"
            slot.thread = threading.Thread(target=self._work, args=(slot,), name=name, daemon=True)
            self._threads.append(slot)
            slot.thread.start()
        for _ in range(len(self._threads) - self._leaving - self._wanted):
            self._leaving += 1
            self._jobs.put(None)

    def _forget(self, slot: _Slot) -> None:
        self._leaving -= 1
        self._threads.remove(slot)
        self._numbers.give_back(slot.number)

    def _collect(self) -> None:
        self._wakeup.clear()
        while self._told:
            kind, job, *facts = self._told.popleft()
            if kind == "left":
                self._forget(job)
                continue
            if job.id not in self._busy:
                # Given up in a cold shutdown; its lease is gone, and its late word with it.
                continue
            if kind == "began":
                slot = facts[0]
                self._busy[job.id] = (job, slot)
                self._events.began(job, os.getpid(), slot.number)
            else:
                del self._busy[job.id]
                self._events.ended(job, *facts)

    # ---- in a slot's thread

    def _work(self, slot: _Slot) -> None:
        while (job := self._jobs.get()) is not None:
            began = time.monotonic()
            outcome, report = self._run(slot, job)
            if not report.runtime_seconds:
                report = report.took(time.monotonic() - began)
            self._tell("ended", job, outcome, report)
        self._tell("left", slot)

    def _tell(self, *message: Any) -> None:
        self._told.append(message)
        self._wakeup.wake()

    def _run(self, slot: _Slot, job: Job) -> tuple[Outcome, Report]:
        end: tuple[Outcome, Report] | None = None
        try:
            # Nothing is thrown at a thread before it has told that it began.
            with slot.lock:
                slot.job = job
            self._tell("began", job, slot)
            end = self._attempt(job)
            slot.end()
        except (_StoppedError, SoftTimeLimitExceeded):
            # Thrown when the task was at its end already, or ending it. A second one may follow.
            self._settle(slot)
        return end or self._stopped(job)

    def _settle(self, slot: _Slot) -> None:
        while True:
            try:
                slot.end()
            except (_StoppedError, SoftTimeLimitExceeded):
                continue
            return

    def _attempt(self, job: Job) -> tuple[Outcome, Report]:
        try:
            return self._executor.run(job.claimed)
        except (_StoppedError, SoftTimeLimitExceeded):
            raise
        except BaseException as error:
            # The worker's boundary. SystemExit, MemoryError and the like: in a process of its own
            # the task would have taken that along.
            logger.error(
                "a task tried to end its thread",
                extra={"task_id": job.id, "error": type(error).__name__},
            )
            return ended(job, Ending.LOST), Report(state=states.FAILURE, shown=repr(error))

    def _stopped(self, job: Job) -> tuple[Outcome, Report]:
        if job.is_timed_out:
            return timed_out(job)
        if job.is_soft_told and not job.is_interrupted:
            # Told when the task was at its end already, and nobody knew yet.
            return timed_out(job, is_soft=True)
        return ended(job, Ending.CANCELLED), Report(state=states.REVOKED)


class ThreadsPool(LedgerPool):
    """Celery's pool for the runner of threads."""

    def create_runner(self) -> Runner:
        """Prepare to run tasks in threads of this process."""
        executor = Executor(self.app, hostname=self._hostname)
        executor.prepare()
        logger.warning("threads cannot be killed: a hard limit ends a task at its next Python step")
        signals.worker_process_init.send(sender=self._hostname)
        return ThreadsRunner(executor, self.limit, async_slots=self._engine.async_slots)
