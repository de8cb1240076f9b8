"""Reading and cancelling tasks, each caller within their rights."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from celeriac.core.file_reference import FileReference, find_file_ids, find_references
from celeriac.core.outcome import Ended
from celeriac.core.page import MAX_PAGE_SIZE, Cursor, Page, TaskFilter
from celeriac.core.queue import Pause
from celeriac.core.state import TaskState
from celeriac.core.task import Attempt, Glance, Task, TaskId
from celeriac.core.worker import Worker
from celeriac.errors import FileNotKeptError, InvalidOptionError, NoResultError
from celeriac.service.callers import Caller, Scope
from celeriac.service.reports import TaskReport, visible_task
from celeriac.service.waiting import why_waiting

logger = logging.getLogger(__name__)

Json = Any


class TaskLedger(Protocol):
    """What is used of the ledger's tasks."""

    def find(self, task_id: TaskId) -> Task | None:
        """Return the task of an id."""
        ...

    def find_many(self, ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those of some tasks that exist."""
        ...

    def count_unfinished(self) -> dict[tuple[str, str], int]:
        """Return how many tasks have not ended, by queue and state."""
        ...

    def count_before(self, task: Task) -> int:
        """Return how many tasks go before a queued one; of a great many, that they are many."""
        ...

    def list(self, wanted: TaskFilter, *, after: Cursor | None, limit: int) -> Page[Task]:
        """Return a page, newest first."""
        ...

    def glance_at_newest(self, submitted_by: str) -> tuple[Glance, ...]:
        """Return the newest tasks of a submitter, newest first, at most a page of them."""
        ...

    def attempts(self, task_id: TaskId) -> tuple[Attempt, ...]:
        """Return the attempts that ended, in order."""
        ...

    def request_cancel(self, task_id: TaskId, *, tell: Callable[[Sequence[Ended]], None]) -> Task:
        """Cancel, or ask to be cancelled; TaskAlreadyFinalError when it has ended."""
        ...


class LeaseLedger(Protocol):
    """What is used of the ledger's leases."""

    def workers(self) -> tuple[Worker, ...]:
        """Return every worker that has joined."""
        ...


class QueueLedger(Protocol):
    """What is used of the ledger's queues."""

    def paused(self) -> Mapping[str, Pause]:
        """Return every queue that is paused."""
        ...


class Ledger(Protocol):
    """A ledger, as far as tasks are concerned."""

    @property
    def queues(self) -> QueueLedger:
        """Its queues."""
        ...

    @property
    def tasks(self) -> TaskLedger:
        """Its tasks."""
        ...

    @property
    def leases(self) -> LeaseLedger:
        """Its leases."""
        ...


class Workers(Protocol):
    """What is used of the engine's road to its workers."""

    def interrupt(self, task: Task) -> None:
        """Tell the worker that runs a task to stop it."""
        ...

    def tell_changed(self, task_ids: Sequence[TaskId]) -> None:
        """Tell whoever watches that tasks changed."""
        ...

    def tell_ended(self, ended: Sequence[Ended]) -> None:
        """Tell whoever waits or watches that tasks ended."""
        ...


class TaskService:
    """What a caller can do with tasks that are there."""

    def __init__(self, ledger: Ledger, workers: Workers, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._workers = workers
        self._now = now

    def get_task(self, task_id: TaskId, *, by: Caller) -> TaskReport:
        """Return a task of this caller.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNotFoundError: There is none, or it is somebody else's: no difference is shown.
        """
        by.require(Scope.READ)
        (report,) = self._report([visible_task(self._ledger.tasks, task_id, by=by)])
        if report.task.state is not TaskState.QUEUED or report.waiting_because is None:
            # About to be taken, most likely; who polls a short task pays for nothing.
            return report
        return replace(report, queued_before=self._ledger.tasks.count_before(report.task))

    def find_tasks(self, ids: Sequence[TaskId], *, by: Caller) -> dict[TaskId, TaskReport]:
        """Return those of some tasks that exist for this caller, by their ids.

        Raises:
            NotPermittedError: The caller may not read.
        """
        by.require(Scope.READ)
        found = self._ledger.tasks.find_many([each for each in ids if "\0" not in each])
        reports = self._report([task for task in found.values() if by.sees(task)])
        return {report.task.id: report for report in reports}

    def get_result(self, task_id: TaskId, *, by: Caller) -> Task:
        """Return a task of this caller that has a result.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNotFoundError: There is none, or it is somebody else's.
            NoResultError: It has not ended, or not with a result.
        """
        by.require(Scope.READ)
        task = visible_task(self._ledger.tasks, task_id, by=by)
        if task.state is not TaskState.COMPLETED or task.is_ignored:
            raise NoResultError(task_id, task.state.value)
        return task

    def get_file(self, task_id: TaskId, file_id: str, *, by: Caller) -> FileReference:
        """Return a file among the arguments or the result of a task of this caller.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNotFoundError: There is none, or it is somebody else's.
            FileNotKeptError: The task has no such file.
        """
        by.require(Scope.READ)
        task = visible_task(self._ledger.tasks, task_id, by=by)
        for text in (task.result, task.arguments.text):
            # Looked for in what the caller may read, so that an id by itself opens nothing.
            found = find_references(json.loads(text)) if text and find_file_ids(text) else ()
            for reference in found:
                if reference.id == file_id:
                    return reference
        raise FileNotKeptError(file_id)

    def look_at(self, task_ids: Sequence[TaskId]) -> dict[TaskId, TaskReport]:
        """Return those of some tasks that exist, whosever they are.

        For the one that looks on behalf of many; it asks `Caller.sees` before it tells anybody.
        """
        found = self._ledger.tasks.find_many(task_ids)
        return {report.task.id: report for report in self._report([*found.values()])}

    def count_unfinished(self) -> dict[tuple[str, str], int]:
        """Return how many tasks have not ended, by queue and state."""
        return self._ledger.tasks.count_unfinished()

    def list_attempts(self, task_id: TaskId, *, by: Caller) -> tuple[Attempt, ...]:
        """Return the attempts of a task that have ended, in order.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNotFoundError: There is none, or it is somebody else's.
        """
        by.require(Scope.READ)
        visible_task(self._ledger.tasks, task_id, by=by)
        return self._ledger.tasks.attempts(task_id)

    def list_tasks(
        self,
        wanted: TaskFilter,
        *,
        by: Caller,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> Page[TaskReport]:
        """Return one page of the tasks this caller sees, newest first.

        Args:
            wanted: Only tasks that match every given field.
            by: Who asks.
            after: Where the page before ended; None starts at the newest.
            limit: Tasks on the page, 1 to 200; a key for some task names may get fewer.

        Raises:
            NotPermittedError: The caller may not read.
            InvalidOptionError: The limit is out of bounds.
        """
        by.require(Scope.READ)
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise InvalidOptionError("limit", f"a whole number from 1 to {MAX_PAGE_SIZE}")
        mine = wanted if by.sees_all else replace(wanted, submitted_by=by.name)
        page = self._ledger.tasks.list(mine, after=after, limit=limit)
        known = [task for task in page.items if by.knows(task.name)]
        return Page(items=self._report(known), next=page.next)

    def glance_at_newest(self, submitted_by: str, *, by: Caller) -> tuple[Glance, ...]:
        """Return the newest tasks of a submitter, newest first, at most 200 of them.

        Raises:
            NotPermittedError: The caller may not read, or not what others have submitted.
        """
        by.require(Scope.READ)
        if submitted_by != by.name:
            by.require(Scope.OPERATE)
        found = self._ledger.tasks.glance_at_newest(submitted_by)
        return tuple(each for each in found if by.knows(each.name))

    def cancel_task(self, task_id: TaskId, *, by: Caller) -> TaskReport:
        """Stop a task that has not ended.

        A task that does not run yet is cancelled at once. A running one is asked to stop, and is
        cancelled when its worker says so.

        Raises:
            NotPermittedError: The caller may not steer tasks.
            TaskNotFoundError: There is none, or it is somebody else's.
            TaskAlreadyFinalError: The task has ended; nothing was changed.
        """
        by.require(Scope.SUBMIT)
        visible_task(self._ledger.tasks, task_id, by=by)
        task = self._ledger.tasks.request_cancel(task_id, tell=self._workers.tell_ended)
        if task.state is TaskState.RUNNING:
            self._workers.interrupt(task)
        self._workers.tell_changed([task_id])
        logger.info("a task's end was asked for", extra={"task_id": task_id, "user": by.name})
        return TaskReport(task=task, waiting_because=None)

    def _report(self, tasks: Sequence[Task]) -> tuple[TaskReport, ...]:
        is_any_queued = any(task.state is TaskState.QUEUED for task in tasks)
        workers = self._ledger.leases.workers() if is_any_queued else ()
        paused = self._ledger.queues.paused() if is_any_queued else {}
        now = self._now()
        return tuple(
            TaskReport(
                task=task,
                waiting_because=why_waiting(task, workers=workers, paused=paused, now=now),
            )
            for task in tasks
        )
