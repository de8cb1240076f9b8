"""A child: a process that runs tasks, and has neither a database nor a broker.

It reads jobs from its parent, runs them through Celery's tracer and writes back how each ended.
What a task's body wants of the ledger meanwhile (`.delay()`, a result, progress) it asks the
parent for over the same socket.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import billiard
from celery import platforms, signals
from celery._state import _set_task_join_will_block, set_default_app
from celery.app import trace
from celery.exceptions import SoftTimeLimitExceeded
from celery.worker import state as worker_state

from celeriac import errors
from celeriac.core.outcome import NewChord
from celeriac.core.task import ClaimedTask, NewTask, Task, TaskId
from celeriac.engine.executor import Executor
from celeriac.engine.pool import wire

logger = logging.getLogger(__name__)


class Channel:
    """The child's end of the socket: jobs come in, ends and questions go out.

    A thread reads, so that the parent can have back what waits behind a long task.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._write_lock = threading.Lock()
        # A task's own threads may ask, too; one question at a time has the socket.
        self._ask_lock = threading.Lock()
        self._asked = 0
        self._reader = threading.Thread(target=self._read, name="celeriac-channel", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    def next_job(self) -> Any | None:
        """Wait for a job; None when there will be no more."""
        return self._jobs.get()

    def tell(self, *message: Any) -> None:
        """Tell the parent something that needs no answer."""
        data = wire.pack(message)
        with self._write_lock:
            self._socket.sendall(data)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask the parent, and wait for its answer.

        Raises:
            CeleriacError: What the parent's ledger raised.
        """
        with self._ask_lock:
            self._asked += 1
            self.tell("call", self._asked, method, arguments)
            while True:
                answer = self._answers.get()
                # A soft limit may have cut off the wait for the answer before this one.
                if answer[1] == self._asked:
                    return _answer_of(answer)

    def _read(self) -> None:
        unpacker = wire.Unpacker()
        try:
            while data := self._socket.recv(262144):
                for message in unpacker.feed(data):
                    self._take(message)
        except ConnectionError:
            # It went without having read all that was written to it.
            logger.debug("the parent hung up")
        # The parent is gone, and with it everybody who would want to know how this ends.
        os._exit(0)

    def _take(self, message: Any) -> None:
        kind = message[0]
        if kind == "run":
            self._jobs.put(message)
        elif kind == "reply":
            self._answers.put(message)
        elif kind == "recall":
            self._recall()
        elif kind == "stop":
            self._jobs.put(None)

    def _recall(self) -> None:
        """Give back what has not begun; taken from the queue, it cannot begin any more."""
        recalled: list[str] = []
        is_over = False
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                is_over = True
            else:
                recalled.append(job[1]["id"])
        if is_over:
            self._jobs.put(None)
        self.tell("recalled", recalled)


def _answer_of(message: Any) -> Any:
    _, _, code, value = message
    if not code:
        return value
    for error in _every_error(errors.CeleriacError):
        if error.code == code:
            raised = error.__new__(error)
            raised.args = (value,)
            raise raised
    raise errors.CeleriacError(value)


def _every_error(root: type[errors.CeleriacError]) -> list[type[errors.CeleriacError]]:
    found = [root]
    for each in root.__subclasses__():
        found.extend(_every_error(each))
    return found


class PipeRoad:
    """The road of a task in a child: over the socket to the parent, who has the ledger."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def submit(self, tasks: Sequence[NewTask], chords: Sequence[NewChord] = ()) -> None:
        """Commit tasks, then ring for those that are ready."""
        self._channel.ask("submit", tasks, chords)

    def find(self, task_ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those tasks that exist."""
        found = self._channel.ask("find", task_ids)
        return {TaskId(each["id"]): wire.task(each) for each in found}

    def find_chord(self, chord_id: str) -> NewChord | None:
        """Return a chord as it was made."""
        found = self._channel.ask("find_chord", chord_id)
        return wire.new_chord(found) if found else None

    def report(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Tell how far a running task is."""
        self._channel.tell("progress", task_id, lease_token, progress)

    def cancel(self, task_ids: Sequence[TaskId]) -> None:
        """Cancel those tasks that have not ended."""
        self._channel.ask("cancel", task_ids)


class SoftLimit:
    """Raises in the running task when the parent says that its soft limit is over."""

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

    def _on_signal(self, *_: Any) -> None:
        # The parent's clock started a moment earlier; a tenth of a second is within its tick.
        if self._deadline is not None and time.monotonic() >= self._deadline - 0.1:
            self._deadline = None
            raise SoftTimeLimitExceeded(self._seconds)


def run_child(app: Any, hostname: str, sock: socket.socket, number: int) -> None:
    """Be a child until the parent says that there is no more to do."""
    _become_child(app, hostname, number)
    channel = Channel(sock)
    app.celeriac.become_child(PipeRoad(channel))
    executor = Executor(app, hostname=hostname)
    executor.prepare()
    soft_limit = SoftLimit()
    signals.worker_process_init.send(sender=hostname)
    channel.start()
    channel.tell("ready")
    code = 0
    try:
        while (job := channel.next_job()) is not None:
            _, given, soft_seconds = job
            _run_one(executor, channel, soft_limit, wire.claimed_task(given), soft_seconds)
    except SystemExit as request:
        # A task may not keep its process alive against sys.exit(); the parent counts a crash.
        code = request.code if isinstance(request.code, int) else 1
        raise
    finally:
        signals.worker_process_shutdown.send(sender=hostname, pid=os.getpid(), exitcode=code)


def _run_one(
    executor: Executor,
    channel: Channel,
    soft_limit: SoftLimit,
    claimed: ClaimedTask,
    soft_seconds: float | None,
) -> None:
    soft_limit.arm(soft_seconds)
    try:
        outcome, report = executor.run(claimed)
    finally:
        soft_limit.disarm()
    channel.tell("done", claimed.id, outcome, report)


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
