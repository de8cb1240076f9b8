"""A task as a caller is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from celeriac.core.acceptance import Begun, TaskOutcome
from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskId
from celeriac.errors import CeleriacError, TaskNotFoundError
from celeriac.service.callers import Caller
from celeriac.service.waiting import WaitingBecause


class FindsTasks(Protocol):
    """What is used of the ledger's tasks."""

    def find(self, task_id: TaskId) -> Task | None:
        """Return the task of an id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """A task, and why it does not run yet."""

    task: Task
    waiting_because: WaitingBecause | None
    # How many tasks of its queue go before it; None where nobody counted.
    queued_before: int | None = None


def visible_task(tasks: FindsTasks, task_id: TaskId, *, by: Caller) -> Task:
    """Return a task that exists for a caller.

    Raises:
        TaskNotFoundError: There is none, or it is somebody else's: no difference is shown.
    """
    # No database takes NUL in a text, and no task has it in its id.
    task = None if "\0" in task_id else tasks.find(task_id)
    if task is None or not by.sees(task):
        raise TaskNotFoundError(task_id)
    return task


def report_at_first(outcomes: Sequence[TaskOutcome]) -> TaskReport:
    """Return the one task of a submission, with what it waits for as far as its row tells.

    Raises:
        CeleriacError: It was not accepted.
    """
    (outcome,) = outcomes
    if isinstance(outcome, CeleriacError):
        raise outcome
    return report_of_new(outcome.to_task() if isinstance(outcome, Begun) else outcome)


def report_of_new(task: Task) -> TaskReport:
    """Return a task that was just accepted, with what it waits for as far as its row tells."""
    is_later = task.state is TaskState.SCHEDULED
    return TaskReport(task=task, waiting_because=WaitingBecause.SCHEDULED if is_later else None)
