"""The runner of processes: children that a fork server makes, each running one task at a time."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any

from celery import states
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool import forkserver, wire
from celeriac.engine.pool.answers import Answers
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.pool.child import run_child
from celeriac.engine.pool.ends import ended, timed_out
from celeriac.engine.pool.handle import Child
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.pacer import Pacer
from celeriac.engine.pool.runner import Events, Runner

logger = logging.getLogger(__name__)

# A task that runs for longer lets nothing wait behind it.
_LONG_SECONDS = 0.05


class ProcessRunner:
    """Hands tasks to children and takes their outcomes."""

    name = "processes"

    def __init__(self, server: forkserver.ForkServer, slots: int, answers: Answers) -> None:
        self._server = server
        self._answers = answers
        self._pacer = Pacer()
        self._events: Events
        self._selector: selectors.BaseSelector
        # Asked for and not yet named by the fork server, in the order of asking.
        self._forking: deque[Child] = deque()
        self._children: dict[int, Child] = {}
        self._wanted = slots
        self._is_stopping = False
        self._has_server = True

    @property
    def slots(self) -> int:
        """Tasks that can run at the same time."""
        return self._wanted

    # ---- the pool's thread asks

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        """Have the children made."""
        self._events, self._selector = events, selector
        selector.register(self._server.socket, selectors.EVENT_READ, self._hear_server)
        for slot in range(self._wanted):
            self._fork(slot)

    def room(self) -> int:
        """Return how many more jobs the children take."""
        return sum(self._room_in(child) for child in self._usable())

    def hand(self, jobs: Iterable[Job]) -> None:
        """Give each job to the child that has the fewest."""
        for job in jobs:
            # Those with no room last: there is always one that has some.
            child = min(self._usable(), key=lambda each: (self._room_in(each) < 1, len(each.jobs)))
            child.jobs.append(job)
            if len(child.jobs) == 1:
                self._events.began(job, child.pid, child.slot)
            child.send(["run", job.claimed, job.soft_seconds])
            self._watch(child)

    def interrupt(self, task_id: str) -> None:
        """Kill the child that runs a task; what waits behind it goes to others."""
        for child in list(self._children.values()):
            if child.jobs and child.jobs[0].id == task_id:
                # Its end may have come in meanwhile, and the next task must not be hit.
                self._hear(child)
                if child.jobs and child.jobs[0].id == task_id:
                    child.signal(signal.SIGKILL)

    def tick(self, now: float) -> float | None:
        """Tell children of soft limits, and kill those whose task is over its hard limit."""
        due: list[float] = []
        for child in self._children.values():
            if not child.jobs:
                continue
            job = child.jobs[0]
            if job.hard_due(now):
                job.is_timed_out = True
                child.signal(signal.SIGKILL)
            elif job.soft_due(now):
                job.is_soft_told = True
                child.signal(signal.SIGUSR1)
            if job.began is not None:
                self._recall(child, job.began, now, due)
                due += job.limits_to_come()
        return min(due, default=None)

    def give_back(self) -> list[Job]:
        """Return nothing yet: what children have not begun comes back when they answer."""
        self._is_stopping = True
        return []

    def kill(self) -> list[Job]:
        """Kill every child and return what they had."""
        jobs = [job for child in self._children.values() for job in child.jobs]
        for child in self._children.values():
            child.jobs.clear()
            child.signal(signal.SIGKILL)
        return jobs

    def stop(self) -> None:
        """Let the children end in order, then the fork server."""
        self._is_stopping = True
        for child in self._children.values():
            child.send(["stop"])
        deadline = time.monotonic() + 5.0
        while self._is_waiting_for_children() and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.1):
                key.data()
        if self._has_server:
            self._selector.unregister(self._server.socket)
        self._server.close()

    def facts(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        return {
            "processes": sorted(self._children),
            "max-concurrency": self._wanted,
            "timeouts": (),
            "max-tasks-per-child": "N/A",
        }

    def _is_waiting_for_children(self) -> bool:
        return self._has_server and bool(self._children or self._forking)

    def _room_in(self, child: Child) -> int:
        if child.is_recalling or (child.jobs and self._is_long(child.jobs[0])):
            return 0
        return max(0, self._pacer.handed() - len(child.jobs))

    def _is_long(self, job: Job) -> bool:
        return job.began is not None and time.monotonic() - job.began > _LONG_SECONDS

    def _recall(self, child: Child, began: float, now: float, due: list[float]) -> None:
        """Have back what waits behind a task that turned out to be long: others may be free."""
        if len(child.jobs) < 2 or child.is_recalling:
            return
        if self._is_stopping or now >= began + _LONG_SECONDS:
            child.is_recalling = True
            child.send(["recall"])
            self._watch(child)
        else:
            due.append(began + _LONG_SECONDS)

    def _recalled(self, child: Child, task_ids: list[str]) -> None:
        child.is_recalling = False
        wanted = frozenset(task_ids)
        jobs = [job for job in child.jobs if job.id in wanted]
        for job in jobs:
            child.jobs.remove(job)
        self._events.returned(jobs)

    # ---- children come and go

    def _usable(self) -> Iterable[Child]:
        return (child for child in self._children.values() if child.is_ready)

    def _fork(self, slot: int) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._forking.append(Child(ours, slot))
        self._server.fork(theirs)

    def _hear_server(self) -> None:
        try:
            messages = self._server.messages()
        except EOFError:
            # Without it no child can be made any more, and its death has killed them all.
            logger.critical("the fork server is gone; this worker ends")
            self._selector.unregister(self._server.socket)
            self._has_server = False
            worker_state.should_terminate = 1
            return
        for message in messages:
            if message[0] == "forked":
                child = self._forking.popleft()
                child.pid = message[1]
                self._children[child.pid] = child
                if self._is_stopping:
                    # It was asked for before: nobody else tells it.
                    child.send(["stop"])
                self._watch(child)
            else:
                self._bury(message[1], message[2])

    def _watch(self, child: Child) -> None:
        wanted = selectors.EVENT_READ
        if not child.flush():
            wanted |= selectors.EVENT_WRITE
        try:
            key = self._selector.get_key(child.socket)
        except KeyError:
            self._selector.register(child.socket, wanted, partial(self._hear, child))
            return
        if key.events != wanted:
            self._selector.modify(child.socket, wanted, key.data)

    def _hear(self, child: Child) -> None:
        if child.is_buried:
            # Its death was told in the same turn as its last words, which are taken already.
            return
        self._watch(child)
        messages = child.receive()
        if messages is None:
            self._selector.unregister(child.socket)
            return
        for message in messages:
            self._take(child, message)

    def _take(self, child: Child, message: Any) -> None:
        kind = message[0]
        if kind == "done":
            self._end(child, wire.outcome(message[2]), Report(**message[3]))
        elif kind == "call":
            child.send(self._answers.answer(message[1], message[2], message[3]))
            self._watch(child)
        elif kind == "progress":
            self._events.progressed(TaskId(message[1]), message[2], message[3])
        elif kind == "recalled":
            self._recalled(child, message[1])
        elif kind == "ready":
            child.is_ready = True

    def _end(self, child: Child, outcome: Outcome, report: Report) -> None:
        if not child.jobs:
            # Killed: its task was given back before this word of it was heard.
            return
        job = child.jobs.popleft()
        self._pacer.saw(report.runtime_seconds)
        self._events.ended(job, outcome, report)
        if child.jobs:
            self._events.began(child.jobs[0], child.pid, child.slot)

    def _bury(self, pid: int, status: int) -> None:
        """A child has ended: take its last words, then decide what became of its tasks."""
        child = self._children.pop(pid, None)
        if child is None:
            return
        for message in child.last_words():
            self._take(child, message)
        if child.socket.fileno() in {key.fd for key in self._selector.get_map().values()}:
            self._selector.unregister(child.socket)
        child.socket.close()
        child.is_buried = True
        if child.jobs:
            self._charge(child.jobs.popleft(), status)
        # The others had not begun: for whichever child is free.
        self._events.returned(child.jobs)
        if not self._is_stopping:
            self._fork(child.slot)

    def _charge(self, job: Job, status: int) -> None:
        if job.is_timed_out:
            self._events.ended(job, *timed_out(job))
            return
        if job.is_interrupted:
            self._events.ended(job, ended(job, Ending.CANCELLED), Report(state=states.REVOKED))
            return
        logger.error(
            "a child died while it ran a task",
            extra={"task_id": job.id, "status": status, "crashes": job.claimed.crashes + 1},
        )
        shown = f"WorkerLostError('the child ended with status {status}')"
        self._events.ended(job, ended(job, Ending.LOST), Report(state=states.FAILURE, shown=shown))


class ProcessPool(LedgerPool):
    """Celery's pool for the runner of processes."""

    def create_runner(self) -> Runner:
        """Fork the fork server while this process has one thread."""
        server = forkserver.start(partial(run_child, self.app, self._hostname))
        return ProcessRunner(server, self.limit, Answers(self._engine.road))
