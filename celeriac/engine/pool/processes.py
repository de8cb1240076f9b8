"""The runner of processes: children that a fork server makes.

Most of them run one task after the other. Async tasks have children of their own, each of which
runs many at a time: one from the start where there are such task functions, others when it is full.
"""

from __future__ import annotations

import logging
import selectors
import signal
from collections.abc import Iterable
from functools import partial
from typing import Any

from celery import states

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool import forkserver, wire
from celeriac.engine.pool.answers import Answers
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.pool.child import run_child
from celeriac.engine.pool.ends import cut_off, ended, timed_out
from celeriac.engine.pool.handle import AsyncChild, Child, PlainChild
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.nursery import Nursery
from celeriac.engine.pool.pacer import Pacer
from celeriac.engine.pool.places import Places
from celeriac.engine.pool.runner import Events, Runner
from celeriac.engine.pool.slots import Numbers

logger = logging.getLogger(__name__)


class ProcessRunner:
    """Hands tasks to children and takes their outcomes."""

    name = "processes"

    def __init__(
        self,
        server: forkserver.ForkServer,
        slots: int,
        answers: Answers,
        *,
        slots_per_async_child: int = 100,
        has_async: bool = False,
        tasks_per_child: int | None = None,
    ) -> None:
        self._answers = answers
        self._pacer = Pacer()
        self._numbers = Numbers()
        self._nursery = Nursery(server, self._numbers, tasks_per_child=tasks_per_child)
        self._events: Events
        # Set from any thread; the pool's thread sees to it.
        self._wanted = slots
        self._has = 0
        self._slots_per_async_child = slots_per_async_child
        # A thousand tasks that sleep for a second would wait half as long again for their child.
        self._async_children = int(has_async)
        self._tasks_per_child = tasks_per_child
        self._is_stopping = False

    @property
    def slots(self) -> int:
        """Tasks that can run at the same time, async ones apart."""
        return self._wanted

    @property
    def async_slots(self) -> int:
        """Async tasks that can run at the same time."""
        return max(1, self._wanted) * self._slots_per_async_child

    def resize(self, slots: int) -> None:
        """Have another number of slots; callable from any thread."""
        self._wanted = max(0, slots)

    # ---- the pool's thread asks

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        """Have the children made."""
        self._events = events
        self._nursery.start(selector, on_message=self._take, on_death=self._bury)
        self._keep_children()

    def room(self) -> int:
        """Return how many more jobs the children take."""
        handed = self._pacer.handed()
        return sum(child.room(handed) for child in self._nursery.plain())

    def async_room(self, wanted: int) -> int:
        """Return how many more async jobs there is room for, making some if there is too little."""
        children = self._nursery.interleaving()
        room = sum(child.room(self._slots_per_async_child) for child in children)
        if room < wanted:
            held = sum(len(child.jobs) for child in children)
            needed = -(-(held + wanted) // self._slots_per_async_child)
            self._async_children = max(self._async_children, min(needed, max(1, self._wanted)))
            self._nursery.keep(self._async_children, is_async=True)
        return room

    def hand(self, jobs: Iterable[Job]) -> None:
        """Give each job to the child that has the fewest."""
        plain, interleaving = self._nursery.plain(), self._nursery.interleaving()
        places = {
            False: Places(plain, self._pacer.handed()),
            True: Places(interleaving, self._slots_per_async_child),
        }
        for job in jobs:
            child = places[job.is_async].take()
            child.take(job)
            if not job.is_async and len(child.jobs) == 1:
                self._events.began(job, child.pid, child.slot)
        for each in (*plain, *interleaving):
            self._nursery.flush(each)

    def interrupt(self, task_id: str) -> None:
        """Kill the child that runs a task; what waits behind it goes to others.

        An async task is cancelled as asyncio does, for the sake of those beside it; its child is
        killed only when it does not end.
        """
        for child in self._nursery:
            if task_id not in child.jobs:
                continue
            # Its end may have come in meanwhile, and the next task must not be hit.
            self._nursery.hear(child)
            job = child.jobs.get(task_id)
            if job is not None:
                child.interrupt(job)
            return

    def tick(self, now: float) -> float | None:
        """Tell children of soft limits, and kill those whose task is over its hard limit."""
        if self._has != self._wanted:
            self._keep_children()
        due = (
            moment
            for child in self._nursery
            for moment in child.keep(now, is_stopping=self._is_stopping)
        )
        return min(due, default=None)

    def give_back(self) -> list[Job]:
        """Return nothing yet: what children have not begun comes back when they answer."""
        self._is_stopping = True
        return []

    def kill(self) -> list[Job]:
        """Kill every child and return what they had."""
        jobs = [job for child in self._nursery for job in child.jobs.values()]
        for child in self._nursery:
            child.jobs.clear()
            child.signal(signal.SIGKILL)
        return jobs

    def stop(self) -> None:
        """Let the children end in order, then the fork server."""
        self._is_stopping = True
        self._nursery.close()

    def facts(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
        return {
            "processes": self._nursery.pids(),
            "max-concurrency": self._wanted,
            "async-slots": self.async_slots,
            "timeouts": (),
            "max-tasks-per-child": self._tasks_per_child or "N/A",
        }

    # ---- children tell

    def _take(self, child: Child, message: Any) -> None:
        kind = message[0]
        if kind in ("did", "done"):
            self._hear_end(child, message)
        elif kind == "call":
            try:
                _, number, method, arguments = message
            except ValueError as error:
                raise wire.GarbledError("a question cannot be read") from error
            child.send(*self._answers.answer(number, method, arguments))
            self._events.asked()
        elif kind == "progress":
            self._events.progressed(TaskId(message[1]), message[2], message[3])
        elif kind == "begun":
            self._begun(child, message[1])
        elif kind == "recalled":
            self._events.returned(child.recalled(message[1]))
            self._let_go(child)
        elif kind == "free" and isinstance(child, AsyncChild):
            child.is_blocked = False
        elif kind == "full":
            child.is_leaving = True
            self._let_go(child)
        elif kind == "ready":
            child.is_ready = True

    def _begun(self, child: Child, task_ids: list[str]) -> None:
        for task_id in task_ids:
            job = child.jobs.get(task_id)
            if job is not None:
                job.slot = self._numbers.take()
                self._events.began(job, child.pid, job.slot)

    def _hear_end(self, child: Child, message: Any) -> None:
        try:
            job = child.jobs.get(message[1])
            if job is None:
                # Killed: its task was given back before this word of it was heard.
                return
            outcome, report = wire.read_ending(job.claimed, message)
        except wire.MISREADINGS as error:
            raise wire.GarbledError("an end cannot be read") from error
        self._end(child, job, outcome, report)

    def _end(self, child: Child, job: Job, outcome: Outcome, report: Report) -> None:
        del child.jobs[job.id]
        if job.is_async:
            self._numbers.give_back(job.slot)
        else:
            self._pacer.saw(report.runtime_seconds)
        self._events.ended(job, outcome, report)
        if isinstance(child, PlainChild) and (head := child.head) is not None:
            self._events.began(head, child.pid, child.slot)
        self._let_go(child)

    # ---- children go

    def _keep_children(self) -> None:
        self._has = self._wanted
        self._async_children = min(self._async_children, max(1, self._wanted))
        self._nursery.keep(self._has)
        self._nursery.keep(self._async_children, is_async=True)

    def _let_go(self, child: Child) -> None:
        if child.is_leaving and not child.jobs:
            self._nursery.see_off(child)
            self._keep_children()

    def _bury(self, child: Child, status: int) -> None:
        """A child has ended: decide what became of its tasks."""
        jobs = list(child.jobs.values())
        begun = [job for job in jobs if job.began is not None]
        # Nobody else's doing, when it was killed for one of them.
        is_killed = any(job.is_timed_out or job.is_interrupted for job in begun)
        for job in begun:
            if job.is_async:
                self._numbers.give_back(job.slot)
            self._charge(job, status, is_suspect=not is_killed)
        # The others had not begun: for whichever child is free.
        self._events.returned([job for job in jobs if job.began is None])
        if not self._is_stopping:
            self._keep_children()

    def _charge(self, job: Job, status: int, *, is_suspect: bool) -> None:
        # First: a task that was to be cancelled is killed like one that is over its limit.
        if job.is_interrupted:
            self._events.ended(job, ended(job, Ending.CANCELLED), Report(state=states.REVOKED))
            return
        if job.is_timed_out:
            self._events.ended(job, *timed_out(job))
            return
        logger.error(
            "a child died while it ran a task",
            extra={
                "task_id": job.id, "status": status, "crashes": job.claimed.crashes + is_suspect
            },
        )  # fmt: skip
        shown = f"WorkerLostError('the child ended with status {status}')"
        outcome = ended(job, Ending.LOST) if is_suspect else cut_off(job)
        self._events.ended(job, outcome, Report(state=states.FAILURE, shown=shown))


class ProcessPool(LedgerPool):
    """Celery's pool for the runner of processes."""

    def create_runner(self) -> Runner:
        """Fork the fork server while this process has one thread."""
        memory = self.options.get("max_memory_per_child")
        child = partial(run_child, self.app, self._hostname, most_kilobytes=memory)
        return ProcessRunner(
            forkserver.start(child),
            self.limit,
            Answers(self._engine.road),
            slots_per_async_child=self._engine.async_slots,
            has_async=any(map(self._engine.is_async, self.app.tasks)),
            tasks_per_child=self.options.get("maxtasksperchild"),
        )
