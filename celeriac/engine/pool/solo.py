"""The solo runner: tasks run in the worker's main thread, one after the other."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

from celery import signals, states
from celery.exceptions import SoftTimeLimitExceeded, WorkerShutdown, WorkerTerminate

from celeriac.core.outcome import Ending, Outcome
from celeriac.engine.executor import Executor, Report
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.pool.body import call_again, is_called_by
from celeriac.engine.pool.ends import cut_off, ended, timed_out
from celeriac.engine.pool.interleaved import Interleaved
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.runner import Events, Runner
from celeriac.engine.pool.slots import Numbers
from celeriac.engine.pool.wakeup import Wakeup

logger = logging.getLogger(__name__)

# Nobody else's: Celery and its users have plans for SIGUSR1, SIGUSR2 and SIGALRM.
_SIGNAL = getattr(signal, "SIGVTALRM", None)


class _StoppedError(BaseException):
    """Ends a running task, through whatever it catches."""

    def __init__(self, *, is_timeout: bool) -> None:
        self.is_timeout = is_timeout


class SoloRunner:
    """Runs one task at a time, in the main thread."""

    name = "solo"
    slots = 1

    def __init__(
        self, executor: Executor, call_in_main: Callable[..., None], *, async_slots: int = 100
    ) -> None:
        self._executor = executor
        self.async_slots = async_slots
        numbers = Numbers()
        self._number = numbers.take()
        self._interleaved = Interleaved(executor, async_slots, numbers)
        self._call_in_main = call_in_main
        self._events: Events
        self._lock = threading.Lock()
        self._handed: deque[Job] = deque()
        self._running: Job | None = None
        self._pending: BaseException | None = None
        self._done: deque[tuple[Job, Outcome, Report]] = deque()
        self._wakeup = Wakeup()
        self._can_interrupt = _SIGNAL is not None and hasattr(signal, "pthread_kill")
        self._main = threading.main_thread().ident or 0

    def install(self) -> None:
        """Take the signal that stops a running task; called in the main thread."""
        if self._can_interrupt and _SIGNAL is not None:
            signal.signal(_SIGNAL, self._raise_pending)
        else:
            logger.warning("time limits and cancelling of running tasks do not work here")

    # ---- in the pool's thread

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        """Begin."""
        self._events = events
        selector.register(self._wakeup, selectors.EVENT_READ, self._collect)
        self._interleaved.start(events, selector)

    def resize(self, slots: int) -> None:
        """Refuse: the main thread is one."""
        raise NotImplementedError("a solo pool runs one task at a time")

    def room(self) -> int:
        """Return one when nothing runs, else nothing."""
        with self._lock:
            return 0 if self._handed or self._running else 1

    def async_room(self, wanted: int) -> int:
        """Return how many more async jobs it takes now."""
        return self._interleaved.room()

    def hand(self, jobs: Iterable[Job]) -> None:
        """Have a job run in the main thread, an async one beside it."""
        for job in jobs:
            if job.is_async:
                self._interleaved.hand(job)
                continue
            with self._lock:
                self._handed.append(job)
            self._call_in_main(self._run_next)

    def interrupt(self, task_id: str) -> None:
        """Stop a running task, if it is here."""
        if not self._interleaved.stop(task_id):
            self._signal(lambda job: job.id == task_id, _StoppedError(is_timeout=False))

    def tick(self, now: float) -> float | None:
        """Keep the time limits of the running task."""
        job = self._running
        if job is None or job.began is None:
            return None
        if job.hard_due(now):
            job.is_timed_out = True
            self._signal(lambda running: running is job, _StoppedError(is_timeout=True))
        elif job.soft_due(now):
            job.is_soft_told = True
            self._signal(lambda running: running is job, SoftTimeLimitExceeded(job.soft_seconds))
        return min(job.limits_to_come(), default=None)

    def give_back(self) -> list[Job]:
        """Return what has not begun."""
        with self._lock:
            jobs = list(self._handed)
            self._handed.clear()
        return [*jobs, *self._interleaved.give_back()]

    def kill(self) -> list[Job]:
        """Stop what runs; the main thread gives back its task, and async ones are returned."""
        self._signal(lambda _: True, _StoppedError(is_timeout=False))
        return self._interleaved.kill()

    def stop(self) -> None:
        """Close what the pool's thread waits with."""
        self._interleaved.close()
        self._wakeup.close()

    def facts(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        return {
            "processes": [os.getpid()],
            "max-concurrency": 1,
            "async-slots": self.async_slots,
            "timeouts": (),
        }

    def _collect(self) -> None:
        self._wakeup.clear()
        while self._done:
            self._events.ended(*self._done.popleft())

    def _signal(self, is_meant: Callable[[Job], bool], error: BaseException) -> None:
        if not self._can_interrupt or _SIGNAL is None:
            return
        with self._lock:
            if self._running is None or not is_meant(self._running):
                return
            self._pending = error
        self._tell_main()

    def _tell_main(self) -> None:
        if _SIGNAL is not None:
            signal.pthread_kill(self._main, _SIGNAL)

    # ---- in the main thread

    def _raise_pending(self, _: int, frame: FrameType | None) -> None:
        # The signal may come when the task has just ended: it must not hit the next one.
        if self._pending is None or self._running is None:
            self._pending = None
        elif is_called_by(SoloRunner._run.__code__, frame):
            pending, self._pending = self._pending, None
            raise pending
        else:
            # Between two of our own steps, where its end would be lost.
            call_again(self._tell_main)

    def _run_next(self) -> None:
        with self._lock:
            if not self._handed:
                return
            job = self._running = self._handed.popleft()
            # What was meant for the one before comes too late.
            self._pending = None
        self._events.began(job, os.getpid(), self._number)
        began = time.monotonic()
        try:
            outcome, report = self._run(job)
        finally:
            self._running = self._pending = None
        if not report.runtime_seconds:
            report = report.took(time.monotonic() - began)
        self._report(job, outcome, report)

    def _report(self, job: Job, outcome: Outcome, report: Report) -> None:
        self._done.append((job, outcome, report))
        self._wakeup.wake()

    def _run(self, job: Job) -> tuple[Outcome, Report]:
        try:
            return self._executor.run(job.claimed)
        except _StoppedError as stopped:
            self._running = None
            if stopped.is_timeout:
                return timed_out(job)
            if job.is_interrupted:
                return ended(job, Ending.CANCELLED), Report(state=states.REVOKED)
            return cut_off(job), Report(state=states.IGNORED)
        except SoftTimeLimitExceeded:
            # Told when the task was at its end already, and nobody knew yet.
            return timed_out(job, is_soft=True)
        except (WorkerShutdown, WorkerTerminate):
            # A signal asked the worker to end at once, in the middle of the task.
            self._report(job, cut_off(job), Report(state=states.IGNORED))
            raise
        except BaseException as error:
            # The worker's boundary. SystemExit, MemoryError and the like: in a process of its own
            # the task would have taken that along.
            logger.error(
                "a task tried to end its process",
                extra={"task_id": job.id, "error": type(error).__name__},
            )
            return ended(job, Ending.LOST), Report(state=states.FAILURE, shown=repr(error))


class SoloPool(LedgerPool):
    """Celery's pool for the solo runner."""

    def create_runner(self) -> Runner:
        """Prepare to run tasks in this thread."""
        self.limit = 1
        executor = Executor(self.app, hostname=self._hostname)
        executor.prepare()
        slots = self._engine.async_slots
        runner = SoloRunner(executor, self._post, async_slots=slots)
        runner.install()
        signals.worker_process_init.send(sender=self._hostname)
        return runner

    def receive_all(self, requests: Sequence[Any]) -> None:
        """Take doorbells; without an event loop, run their tasks before returning."""
        super().receive_all(requests)
        if not self._has_hub:
            self._mailbox.wait_until(self._thread.is_idle)

    def _call_without_hub(self, call: Any, *args: Any) -> None:
        # The task itself is one of these calls: it belongs to the main thread.
        self._mailbox.post(call, *args)
