"""A child as its parent sees it: a process id, a socket, and what it was handed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from celeriac.engine.pool import wire
from celeriac.engine.pool.job import Job

# A task that runs for longer lets nothing wait behind it.
_LONG_SECONDS = 0.05
# An event loop that has not begun a task for so long is blocked by another one.
_BLOCKED_SECONDS = 0.5
# How long an async task that was told to end may clean up, before its process is killed.
_GRACE_SECONDS = 3.0


class Child:
    """One child as its parent sees it, of either kind."""

    is_async: bool

    def __init__(
        self,
        sock: socket.socket,
        slot: int,
        *,
        watch: Callable[[Child], None],
        most_tasks: int | None = None,
    ) -> None:
        self.socket = sock
        self.slot = slot
        # Flushes it, and again whenever its socket takes more.
        self._watch = watch
        self._most_tasks = sys.maxsize if most_tasks is None else most_tasks
        self.pid = 0
        self.is_ready = False
        self.is_buried = False
        # What it tells makes no sense any more; nobody listens.
        self.is_garbled = False
        # It was asked for what has not begun, and has not answered.
        self.is_recalling = False
        # It is to be handed nothing more, and ends when it has ended what it has.
        self.is_leaving = False
        # How many tasks it was handed, without those it gave back.
        self._handed = 0
        # What it was handed and has not ended, by id, in order.
        self.jobs: dict[str, Job] = {}
        self._unpacker = wire.Unpacker()
        self._out = bytearray()

    def keep(self, now: float, *, is_stopping: bool) -> Iterator[float]:
        """Look after the limits of its tasks, and yield when to look again at the latest."""
        raise NotImplementedError

    def room(self, most: int) -> int:
        """Return how many more jobs it takes, if so many are the most it may have."""
        raise NotImplementedError

    def interrupt(self, job: Job) -> None:
        """Have one of its tasks ended."""
        raise NotImplementedError

    def take(self, job: Job) -> None:
        """Take note of a job that is handed to it; the last one it may have makes it leave."""
        self.jobs[job.id] = job
        self._handed += 1
        if self._handed >= self._most_tasks:
            self.is_leaving = True

    def recalled(self, task_ids: list[str]) -> list[Job]:
        """Take note of what it gave back, and return that."""
        self.is_recalling = False
        jobs = [self.jobs.pop(task_id) for task_id in task_ids if task_id in self.jobs]
        self._handed -= len(jobs)
        return jobs

    def recall(self) -> None:
        """Ask for what it has not begun."""
        if not self.is_recalling:
            self.is_recalling = True
            self.send("recall")

    def put(self, *message: Any) -> None:
        """Have something written to it with the next `flush`."""
        self._out += wire.pack(message)

    def send(self, *message: Any) -> None:
        """Have something written to it, as far as its socket takes it."""
        self.put(*message)
        self._watch(self)

    def flush(self) -> bool:
        """Write what is left; whether nothing is."""
        # Never blocking: a child that waits for its own long write to be read would wait for
        # ever if its parent waited for it.
        while self._out:
            try:
                sent = self.socket.send(self._out)
            except BlockingIOError:
                return False
            except OSError:
                # It is dead, which the fork server tells in a moment.
                self._out.clear()
                return True
            del self._out[:sent]
        return True

    def receive(self) -> list[Any] | None:
        """Return what it has told; None when it will tell no more.

        Raises:
            GarbledError: It makes no sense.
        """
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return self._understand(data) if data else None

    def last_words(self) -> list[Any]:
        """Return whatever it told before it died."""
        told: list[Any] = []
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except OSError:
                # Nothing more, and no end either: something that it started holds the socket.
                return told
            if not data:
                return told
            try:
                told.extend(self._understand(data))
            except wire.GarbledError:
                # Cut off in the middle of a word, by whatever killed it.
                self.is_garbled = True

    def kill_garbled(self) -> None:
        """End it, since it cannot be understood: what it runs counts as crashed."""
        self.is_garbled = self.is_leaving = True
        self.signal(signal.SIGKILL)

    def _understand(self, data: bytes) -> list[Any]:
        return [] if self.is_garbled else self._unpacker.feed(data)

    def signal(self, number: int) -> None:
        """Send it a signal; one that has just ended does not get it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _left(self) -> int:
        return self._most_tasks - self._handed


class PlainChild(Child):
    """Runs one task after the other, the first of its jobs."""

    is_async = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # What goes to it with the next message.
        self._taken: list[tuple[Any, ...]] = []

    @property
    def head(self) -> Job | None:
        """What it runs."""
        return next(iter(self.jobs.values()), None)

    def room(self, most: int) -> int:
        """Return how many more jobs it takes."""
        head = self.head
        if self.is_recalling or (head is not None and _is_long(head)):
            return 0
        return min(max(0, most - len(self.jobs)), self._left())

    def take(self, job: Job) -> None:
        """Have it run a job when it has run those before; written with the next `flush`."""
        super().take(job)
        self._taken.append((job.claimed[:], job.soft_seconds))

    def put(self, *message: Any) -> None:
        """Have something written to it with the next `flush`, after the jobs that it took."""
        self._put_taken()
        super().put(*message)

    def flush(self) -> bool:
        """Write what is left; whether nothing is."""
        self._put_taken()
        return super().flush()

    def _put_taken(self) -> None:
        if self._taken:
            # In one message: it costs hardly more than one job.
            super().put("run", self._taken)
            self._taken = []

    def interrupt(self, job: Job) -> None:
        """Kill it, if it runs the job; else have back what waits."""
        if job is self.head:
            self.signal(signal.SIGKILL)
        else:
            self.recall()

    def keep(self, now: float, *, is_stopping: bool) -> Iterator[float]:
        """Tell of a soft limit, kill for a hard one, and have back what waits behind a long task.

        Others may be free for that.
        """
        head = self.head
        if head is None or head.began is None:
            return
        if head.hard_due(now):
            head.is_timed_out = True
            self.signal(signal.SIGKILL)
        elif head.soft_due(now):
            head.is_soft_told = True
            self.signal(signal.SIGUSR1)
        yield from head.limits_to_come()
        if len(self.jobs) > 1 and not self.is_recalling:
            if is_stopping or now >= head.began + _LONG_SECONDS:
                self.recall()
            else:
                yield head.began + _LONG_SECONDS


class AsyncChild(Child):
    """Runs all its jobs at the same time, and keeps their limits itself as long as it can."""

    is_async = True
    # A task of its keeps its event loop from the others.
    is_blocked = False

    def room(self, most: int) -> int:
        """Return how many more jobs it takes."""
        if self.is_recalling or self.is_blocked:
            return 0
        return min(most - len(self.jobs), self._left())

    def take(self, job: Job) -> None:
        """Have it begin a job as soon as its event loop is free; written with the next `flush`."""
        super().take(job)
        job.handed = time.monotonic()
        self.put("begin", job.claimed[:], job.soft_seconds, job.hard_seconds)

    def recalled(self, task_ids: list[str]) -> list[Job]:
        """Take note of what it gave back, and return that."""
        jobs = super().recalled(task_ids)
        # It says when its loop is free again.
        self.is_blocked = bool(jobs)
        return jobs

    def interrupt(self, job: Job) -> None:
        """Have a task cancelled; the child is killed only when that task does not end."""
        job.kill_at = time.monotonic() + _GRACE_SECONDS
        self.send("end", job.id)

    def keep(self, now: float, *, is_stopping: bool) -> Iterator[float]:
        """Kill it for a task that should have ended, and have back what it cannot begin."""
        for job in self.jobs.values():
            if job.began is None:
                if self.is_recalling:
                    continue
                if now >= job.handed + _BLOCKED_SECONDS:
                    self.recall()
                else:
                    yield job.handed + _BLOCKED_SECONDS
                continue
            kill_at = _kill_at(job, job.began)
            if kill_at is None or job.is_timed_out:
                continue
            if now >= kill_at:
                job.is_timed_out = True
                self.signal(signal.SIGKILL)
            else:
                yield kill_at


def _is_long(job: Job) -> bool:
    return job.began is not None and time.monotonic() - job.began > _LONG_SECONDS


def _kill_at(job: Job, began: float) -> float | None:
    """Return when nobody waits any longer for a task to end by itself."""
    if job.hard_seconds is None:
        return job.kill_at
    hard = began + job.hard_seconds + _GRACE_SECONDS
    return hard if job.kill_at is None else min(hard, job.kill_at)
