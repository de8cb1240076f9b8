"""The async slots of one process: an event loop in a thread, with many tasks at a time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from celery import states
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.outcome import Ending, Outcome
from celeriac.engine.executor import Executor, Report
from celeriac.engine.pool.ends import cut_off, ended, timed_out
from celeriac.engine.pool.job import Job
from celeriac.engine.strand import Strand, StrandStoppedError

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _Attempt:
    job: Job
    strand: Strand | None = None
    limits: list[asyncio.TimerHandle] = field(default_factory=list)
    is_timed_out: bool = False
    is_cut_off: bool = False


class AsyncSlots:
    """Runs `async def` tasks side by side on one event loop.

    Everything public may be called from any thread. What it tells, it tells in its own.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        on_begun: Callable[[Sequence[Job]], None],
        on_ended: Callable[[Job, Outcome, Report], None],
    ) -> None:
        self._executor = executor
        self._on_begun = on_begun
        self._on_ended = on_ended
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Handed over and not begun; whoever takes a job out has it.
        self._waiting: deque[Job] = deque()
        # The loop's thread's own.
        self._attempts: dict[str, _Attempt] = {}

    def begin(self, job: Job) -> None:
        """Have a job begin as soon as the loop is free."""
        self._waiting.append(job)
        self._call(self._begin_all)

    def stop(self, task_id: str) -> None:
        """Cancel a task as asyncio does: it ends where it waits, once it has cleaned up."""
        self._call(self._stop, task_id)

    def give_back(self) -> list[Job]:
        """Return what has not begun, and cannot begin any more."""
        jobs: list[Job] = []
        while True:
            try:
                jobs.append(self._waiting.popleft())
            except IndexError:
                return jobs

    def cut_off(self) -> None:
        """Stop everything: this process is about to end, for which no task is to blame."""
        self._call(self._cut_off)

    def call_when_free(self, call: Callable[[], None]) -> None:
        """Have something called when no task keeps the loop from it."""
        self._call(call)

    def close(self) -> None:
        """Stop what runs and end the loop; what does not end goes with the process."""
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(self._cut_off)
        loop.call_soon_threadsafe(self._stop_when_empty, loop)
        thread.join(_JOIN_SECONDS)
        if not thread.is_alive():
            loop.close()

    def _call(self, call: Callable[..., None], *args: Any) -> None:
        with self._lock:
            if self._loop is None:
                # Not before there is a task for it: most workers have none.
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="celeriac-async", daemon=True
                )
                self._thread.start()
            self._loop.call_soon_threadsafe(call, *args)

    # ---- in the loop's thread

    def _begin_all(self) -> None:
        jobs = self.give_back()
        if not jobs:
            # A call before this one has taken them.
            return
        self._on_begun(jobs)
        loop = asyncio.get_running_loop()
        for job in jobs:
            self._begin(loop, job)

    def _begin(self, loop: asyncio.AbstractEventLoop, job: Job) -> None:
        attempt = self._attempts[job.id] = _Attempt(job)
        strand = attempt.strand = Strand(loop, partial(self._run, attempt))
        if job.soft_seconds is not None:
            error = SoftTimeLimitExceeded(job.soft_seconds)
            attempt.limits.append(loop.call_later(job.soft_seconds, strand.throw_in, error))
        if job.hard_seconds is not None:
            attempt.limits.append(loop.call_later(job.hard_seconds, self._time_out, attempt))
        strand.switch()

    def _time_out(self, attempt: _Attempt) -> None:
        attempt.is_timed_out = True
        self._stop(attempt.job.id)

    def _stop(self, task_id: str) -> None:
        attempt = self._attempts.get(task_id)
        if attempt is not None and attempt.strand is not None:
            attempt.strand.stop()

    def _cut_off(self) -> None:
        for attempt in list(self._attempts.values()):
            attempt.is_cut_off = True
            self._stop(attempt.job.id)

    def _stop_when_empty(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._attempts:
            loop.call_later(0.01, self._stop_when_empty, loop)
        else:
            loop.stop()

    # ---- in a task's strand

    def _run(self, attempt: _Attempt) -> None:
        job = attempt.job
        began = time.monotonic()
        try:
            outcome, report = self._executor.run(job.claimed)
        except StrandStoppedError:
            outcome, report = _stopped(attempt)
        except BaseException as error:
            # The worker's boundary. SystemExit and the like: in a process of its own the task
            # would have taken that along, and not its neighbours too.
            logger.error(
                "a task tried to end its event loop",
                extra={"task_id": job.id, "error": type(error).__name__},
            )
            outcome = ended(job, Ending.LOST)
            report = Report(state=states.FAILURE, shown=repr(error))
        for limit in attempt.limits:
            limit.cancel()
        # It holds this strand, and the strand this frame.
        attempt.strand = None
        del self._attempts[job.id]
        if not report.runtime_seconds:
            report = report.took(time.monotonic() - began)
        self._on_ended(job, outcome, report)


def _stopped(attempt: _Attempt) -> tuple[Outcome, Report]:
    if attempt.is_timed_out:
        return timed_out(attempt.job)
    if attempt.is_cut_off:
        return cut_off(attempt.job), Report(state=states.IGNORED)
    return ended(attempt.job, Ending.CANCELLED), Report(state=states.REVOKED)
