"""Submitting, reading and cancelling tasks, each caller within their rights."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from celeriac.core.file_reference import find_file_ids
from celeriac.core.outcome import NewChord
from celeriac.core.page import MAX_PAGE_SIZE, Cursor, Page, TaskFilter
from celeriac.core.queue import Pause
from celeriac.core.state import TaskState
from celeriac.core.task import Attempt, Doorbell, NewTask, Task, TaskId
from celeriac.core.worker import Worker
from celeriac.errors import (
    InvalidOptionError,
    LedgerUnavailableError,
    TaskNameNotFoundError,
    TaskNotFinalError,
    TaskNotFoundError,
)
from celeriac.service.callers import Caller, Scope
from celeriac.service.retrying import changed_arguments, task_again
from celeriac.service.submission import SubmitRequest, check_options, new_task
from celeriac.service.task_types import Catalogue
from celeriac.service.waiting import WaitingBecause, why_waiting

logger = logging.getLogger(__name__)

Json = Any


class TaskLedger(Protocol):
    """What is used of the ledger's tasks."""

    def insert(
        self, tasks: Sequence[NewTask], *, chords: Sequence[NewChord] = ()
    ) -> list[Doorbell | None]:
        """Commit new tasks; one doorbell for each that is ready."""
        ...

    def find(self, task_id: TaskId) -> Task | None:
        """Return the task of an id."""
        ...

    def find_many(self, ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those of some tasks that exist."""
        ...

    def list(self, wanted: TaskFilter, *, after: Cursor | None, limit: int) -> Page[Task]:
        """Return a page, newest first."""
        ...

    def attempts(self, task_id: TaskId) -> tuple[Attempt, ...]:
        """Return the attempts that ended, in order."""
        ...

    def request_cancel(self, task_id: TaskId) -> Task:
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


class Publisher(Protocol):
    """What is used of the engine's publisher."""

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Tell the broker; a broker that is away is no error."""
        ...


class Workers(Protocol):
    """What is used of the engine's road to its workers."""

    def interrupt(self, task: Task) -> None:
        """Tell the worker that runs a task to stop it."""
        ...

    def tell_changed(self, task_ids: Sequence[TaskId]) -> None:
        """Tell whoever watches that tasks changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """A task, and why it does not run yet."""

    task: Task
    waiting_because: WaitingBecause | None


class TaskService:
    """Everything a caller can do with tasks."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        publisher: Publisher,
        workers: Workers,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._publisher = publisher
        self._workers = workers
        self._now = now

    def submit(
        self, request: SubmitRequest, *, by: Caller, task_id: TaskId | None = None
    ) -> TaskReport:
        """Accept a task: when this returns, it is committed and will run.

        Args:
            request: What shall be run.
            by: Who asks.
            task_id: The task's id where the same request may come twice: the second finds the
                first one's task. None makes a new one.

        Raises:
            NotPermittedError: The caller may not submit.
            TaskNameNotFoundError: No task function has this name, or not for this caller.
            InvalidArgumentsError: The arguments do not fit it.
            InvalidOptionError: An option is out of bounds.
            LedgerUnavailableError: Nothing was accepted.
        """
        by.require(Scope.SUBMIT)
        if not by.knows(request.name):
            raise TaskNameNotFoundError(request.name)
        arguments = self._catalogue.validate(request.name, request.kwargs, files=request.files)
        now = self._now()
        check_options(request.options, now=now)
        task = new_task(
            task_id or TaskId(str(uuid.uuid4())),
            request,
            arguments,
            queue=request.options.queue or self._catalogue.describe(request.name).queue,
            submitted_by=by.name,
            now=now,
        )
        stored = self._accept(task, now=now)
        logger.info("a task was submitted", extra={"task_id": task.id, "user": by.name})
        return TaskReport(task=stored, waiting_because=why_waiting_at_first(stored))

    def get_task(self, task_id: TaskId, *, by: Caller) -> TaskReport:
        """Return a task of this caller.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNotFoundError: There is none, or it is somebody else's: no difference is shown.
        """
        by.require(Scope.READ)
        return self._report([self._visible(task_id, by=by)])[0]

    def find_tasks(self, ids: Sequence[TaskId], *, by: Caller) -> dict[TaskId, TaskReport]:
        """Return those of some tasks that exist for this caller, by their ids.

        Raises:
            NotPermittedError: The caller may not read.
        """
        by.require(Scope.READ)
        found = self._ledger.tasks.find_many([each for each in ids if "\0" not in each])
        reports = self._report([task for task in found.values() if by.sees(task)])
        return {report.task.id: report for report in reports}

    def list_attempts(self, task_id: TaskId, *, by: Caller) -> tuple[Attempt, ...]:
        """Return the attempts of a task that have ended, in order.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNotFoundError: There is none, or it is somebody else's.
        """
        by.require(Scope.READ)
        self._visible(task_id, by=by)
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
        self._visible(task_id, by=by)
        task = self._ledger.tasks.request_cancel(task_id)
        if task.state is TaskState.RUNNING:
            self._workers.interrupt(task)
        self._workers.tell_changed([task_id])
        logger.info("a task's end was asked for", extra={"task_id": task_id, "user": by.name})
        return TaskReport(task=task, waiting_because=None)

    def retry_task(self, task_id: TaskId, *, by: Caller, changes: dict[str, Json]) -> TaskReport:
        """Run a task that has ended again, as a new task of whoever asks.

        Args:
            task_id: The task that ended.
            by: Who asks.
            changes: Named arguments that shall be others; the rest stays as it was.

        Raises:
            NotPermittedError: The caller may not submit.
            TaskNotFoundError: There is none, or it is somebody else's.
            TaskNotFinalError: It has not ended.
            TaskNameNotFoundError: No task function has its name any more.
            InvalidArgumentsError: The changed arguments do not fit.
            InvalidOptionError: Its arguments cannot be changed by name.
            LedgerUnavailableError: Nothing was accepted.
        """
        by.require(Scope.SUBMIT)
        task = self._visible(task_id, by=by)
        if not task.state.is_final:
            raise TaskNotFinalError(task_id, task.state.value)
        self._catalogue.describe(task.name)
        arguments = task.arguments
        if changes:
            arguments = self._catalogue.validate(
                task.name,
                changed_arguments(arguments, changes),
                # What the caller may see may be run again, files and all.
                files=find_file_ids(arguments.text),
            )
        now = self._now()
        again = task_again(task, TaskId(str(uuid.uuid4())), arguments, submitted_by=by.name)
        stored = self._accept(again, now=now)
        logger.info("a task was retried", extra={"task_id": task_id, "user": by.name})
        return TaskReport(task=stored, waiting_because=why_waiting_at_first(stored))

    def _accept(self, task: NewTask, *, now: datetime) -> Task:
        # The one place where a submission is written, so that a batcher can take it over.
        doorbells = self._ledger.tasks.insert([task])
        stored = self._read_back(task, now=now)
        # Commit the row before the doorbell rings: a worker may answer it before ring() returns,
        # and its claim would find no row.
        self._publisher.ring([doorbell for doorbell in doorbells if doorbell is not None])
        return stored

    def _read_back(self, task: NewTask, *, now: datetime) -> Task:
        # It is committed: whatever happens to this read, the caller must not hear that it failed.
        try:
            stored = self._ledger.tasks.find(task.id)
        except LedgerUnavailableError:
            stored = None
        return stored or as_accepted(task, now=now)

    def _visible(self, task_id: TaskId, *, by: Caller) -> Task:
        # No database takes NUL in a text, and no task has it in its id.
        task = None if "\0" in task_id else self._ledger.tasks.find(task_id)
        if task is None or not by.sees(task):
            raise TaskNotFoundError(task_id)
        return task

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


def why_waiting_at_first(task: Task) -> WaitingBecause | None:
    """Return what a task that was just accepted waits for, as far as its row tells."""
    return WaitingBecause.SCHEDULED if task.state is TaskState.SCHEDULED else None


def as_accepted(task: NewTask, *, now: datetime) -> Task:
    """Return a task as it stands right after it was committed."""
    is_later = task.not_before is not None and task.not_before > now
    return Task(
        id=task.id,
        name=task.name,
        arguments=task.arguments,
        queue=task.queue,
        priority=task.priority,
        headers=task.headers,
        state=TaskState.SCHEDULED if is_later else TaskState.QUEUED,
        version=1,
        attempt=0,
        max_attempts=task.max_attempts,
        retries=0,
        crashes=0,
        created_at=now,
        not_before=task.not_before if is_later else None,
        expires_at=task.expires_at,
        root_id=task.root_id,
        submitted_by=task.submitted_by,
        tags=task.tags,
    )
