"""A child: a process that runs tasks, and has neither a database nor a broker.

It reads jobs from its parent, runs them through Celery's tracer and writes back how each ended.
What a task's body wants of the ledger meanwhile (`.delay()`, a result, progress) it asks the
parent for over the same socket.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import billiard
from celery import platforms, signals
from celery._state import _set_task_join_will_block, set_default_app
from celery.app import trace
from celery.exceptions import SoftTimeLimitExceeded
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import ClaimedTask, TaskId
from celeriac.engine.executor import Executor, Report
from celeriac.engine.pool import wire
from celeriac.engine.pool.async_slots import AsyncSlots
from celeriac.engine.pool.body import call_again, is_in_body
from celeriac.engine.pool.channel import Channel, PipeRoad
from celeriac.engine.pool.job import Job

logger = logging.getLogger(__name__)


class SoftLimit:
    """Raises in the running task when the parent says that its soft limit is over.

    In its function and nowhere else, and never while that writes to the parent: half a frame would
    garble all that follows.
    """

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._deadline: float | None = None
        signal.signal(signal.SIGUSR1, self._on_signal)

    def arm(self, seconds: float | None) -> None:
        """Begin to count for a task; None if it has no soft limit."""
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def disarm(self) -> None:
        """The task has ended: a signal that comes late hits nobody."""
        self._deadline = None

    def _on_signal(self, _: int, frame: FrameType | None) -> None:
        # The parent's clock started a moment earlier; a tenth of a second is within its tick.
        if self._deadline is None or time.monotonic() < self._deadline - 0.1:
            return
        if not is_in_body(frame, beside=_WRITING):
            # It has not begun, is about to end, or tells something. Asked again until it is over.
            call_again(_tell_oneself)
            return
        self._deadline = None
        raise SoftTimeLimitExceeded(self._seconds)


_WRITING = Channel.tell.__code__


def _tell_oneself() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


class _Child:
    """Runs what comes over its channel."""

    def __init__(self, channel: Channel, executor: Executor, most_kilobytes: int | None) -> None:
        self._channel = channel
        self._executor = executor
        self._soft_limit = SoftLimit()
        self._most_kilobytes = most_kilobytes
        self._is_full = False
        channel.async_slots = AsyncSlots(executor, on_begun=self._begun, on_ended=self._ended)

    def run_all(self) -> None:
        """Run tasks until there are no more."""
        while (job := self._channel.next_job()) is not None:
            given, soft_seconds = job
            self._run(ClaimedTask._make(given), soft_seconds)

    def _run(self, claimed: ClaimedTask, soft_seconds: float | None) -> None:
        self._soft_limit.arm(soft_seconds)
        try:
            outcome, report = self._executor.run(claimed)
        finally:
            self._soft_limit.disarm()
        self._told(claimed.id, outcome, report)

    def _begun(self, jobs: Sequence[Job]) -> None:
        self._channel.tell("begun", [job.id for job in jobs])

    def _ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        self._told(job.claimed.id, outcome, report)

    def _told(self, task_id: TaskId, outcome: Outcome, report: Report) -> None:
        self._channel.tell(*wire.ending(task_id, outcome, report))
        # A task that was lost here and left the process alive has not left it well.
        if not self._is_full and (outcome.ending is Ending.LOST or self._is_heavy()):
            self._is_full = True
            self._channel.close_intake()

    def _is_heavy(self) -> bool:
        """Whether the tasks so far have left this process with too much memory."""
        if self._most_kilobytes is None:
            return False
        kilobytes = resident_kilobytes()
        if kilobytes <= self._most_kilobytes:
            return False
        logger.info("a child holds too much memory; it ends", extra={"kilobytes": kilobytes})
        return True


def resident_kilobytes() -> int:
    """Return how much memory this process holds; where nobody tells, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most
    return pages * resource.getpagesize() // 1024


def run_child(
    app: Any, hostname: str, sock: socket.socket, number: int, *, most_kilobytes: int | None = None
) -> None:
    """Be a child until the parent says that there is no more to do.

    Args:
        app: The Celery app whose tasks it runs.
        hostname: The worker's name.
        sock: Its end of the socket to its parent.
        number: Which of the worker's children it is, for logs.
        most_kilobytes: After a task that leaves it with more memory it takes no more.
    """
    _become_child(app, hostname, number)
    channel = Channel(sock)
    app.celeriac.become_child(PipeRoad(channel))
    executor = Executor(app, hostname=hostname)
    executor.prepare()
    child = _Child(channel, executor, most_kilobytes)
    signals.worker_process_init.send(sender=hostname)
    channel.start()
    channel.tell("ready")
    code = 0
    try:
        child.run_all()
    except SystemExit as request:
        # A task may not keep its process alive against sys.exit(); the parent counts a crash.
        code = request.code if isinstance(request.code, int) else 1
        raise
    finally:
        signals.worker_process_shutdown.send(sender=hostname, pid=os.getpid(), exitcode=code)


def _become_child(app: Any, hostname: str, number: int) -> None:
    """Do for a child what Celery does for its own (celery 5.7, concurrency/prefork.py)."""
    platforms.set_pdeathsig("SIGKILL")
    _set_task_join_will_block(True)  # noqa: FBT003 - Celery's signature
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGCHLD"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The names that log lines carry; without them every child is called MainProcess.
    name = f"ForkPoolWorker-{number}"
    multiprocessing.current_process().name = name
    billiard.current_process()._name = name  # noqa: SLF001 - the only way to name it
    platforms.set_mp_process_title("celeriac", hostname=hostname)
    app.loader.init_worker_process()
    app.log.setup(
        int(os.environ.get("CELERY_LOG_LEVEL", "0") or 0),
        os.environ.get("CELERY_LOG_FILE") or None,
        bool(os.environ.get("CELERY_LOG_REDIRECT", "")),
        os.environ.get("CELERY_LOG_REDIRECT_LEVEL") or "WARNING",
        hostname=hostname,
    )
    app.set_current()
    set_default_app(app)
    app.finalize()
    trace._tasks = app._tasks  # noqa: SLF001 - Celery's own optimisation of its tracer
    worker_state.reset_state()
