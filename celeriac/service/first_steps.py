"""How far a newcomer has come, told by what is there: tasks, keys and task functions.

Nothing of it is remembered: what was done is seen by what it left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from celeriac.core.page import MAX_PAGE_SIZE
from celeriac.core.state import TaskState
from celeriac.core.task import Glance
from celeriac.samples import NAMES as SAMPLES
from celeriac.service.callers import Caller, Scope
from celeriac.service.keys import KeyService
from celeriac.service.local_profile import LOCAL_USER
from celeriac.service.task_types import TaskTypeService
from celeriac.service.tasks import TaskService


class StepKind(StrEnum):
    """What a step is about."""

    TEXT = "text"
    NUMBERS = "numbers"
    PICTURE = "picture"
    ERROR = "error"
    # A task function of one's own, where there are no samples.
    OWN = "own"
    CODE = "code"
    SAMPLES = "samples"


# The samples that count for a step; the first one is what it proposes.
_OF_STEP = {
    StepKind.TEXT: ("text.wordcount", "process"),
    StepKind.NUMBERS: ("numbers.primes", "numbers.statistics"),
    StepKind.PICTURE: ("image.thumbnail", "image.grayscale"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to try."""

    kind: StepKind
    # The task function it proposes; empty when it proposes none.
    name: str = ""
    is_done: bool
    # The task that shows how it stands; None when none was submitted for it.
    task: Glance | None = None


class FirstSteps:
    """Looks how far somebody has come."""

    def __init__(self, tasks: TaskService, keys: KeyService, task_types: TaskTypeService) -> None:
        self._tasks = tasks
        self._keys = keys
        self._task_types = task_types

    def list_steps(self, *, by: Caller) -> tuple[Step, ...]:
        """Return the steps that make sense for a caller, in order.

        Raises:
            NotPermittedError: The caller may not read.
        """
        return self._steps(self._tasks.glance_at_newest(by.name, by=by), by)

    def has_left(self, *, by: Caller) -> bool:
        """Return whether a caller should be led to what is left of the steps.

        Not whoever has submitted so many tasks that the first ones are out of sight.
        """
        if Scope.SUBMIT not in by.scopes:
            return False
        own = self._tasks.glance_at_newest(by.name, by=by)
        return len(own) < MAX_PAGE_SIZE and not all(each.is_done for each in self._steps(own, by))

    def _steps(self, own: Sequence[Glance], by: Caller) -> tuple[Step, ...]:
        # What the command line of this machine did, its owner did.
        local = self._tasks.glance_at_newest(LOCAL_USER, by=by) if by.sees_all else ()
        known = [name for name in self._task_types.names() if by.knows(name)]
        code = Step(kind=StepKind.CODE, is_done=self._keys.has_used_key(by=by))
        if SAMPLES.isdisjoint(known):
            name = known[0] if known else ""
            return (own_step(name, own, local), code)
        steps = (*sample_steps(known, own, local), code)
        # Only whoever runs the service can.
        if Scope.ADMIN not in by.scopes:
            return steps
        return (*steps, Step(kind=StepKind.SAMPLES, is_done=False))


def sample_steps(known: Collection[str], *several: Sequence[Glance]) -> tuple[Step, ...]:
    """Return the steps that run samples.

    Args:
        known: The names of the task functions there are.
        several: Tasks, each list newest first.
    """
    found = []
    for kind, names in _OF_STEP.items():
        name = next((each for each in names if each in known), "")
        if name:
            task = _telling([each for tasks in several for each in tasks if each.name in names])
            found.append(Step(kind=kind, name=name, is_done=_is_completed(task), task=task))
    if _OF_STEP[StepKind.PICTURE][0] in known:
        found.append(_error_step(_OF_STEP[StepKind.PICTURE][0], several))
    return tuple(found)


def own_step(name: str, *several: Sequence[Glance]) -> Step:
    """Return the step that runs a task function of one's own, or of whoever wrote the first."""
    task = _telling([each for tasks in several for each in tasks if each.name not in SAMPLES])
    return Step(kind=StepKind.OWN, name=name, is_done=_is_completed(task), task=task)


def _error_step(name: str, several: Sequence[Sequence[Glance]]) -> Step:
    unmended: Glance | None = None
    for tasks in several:
        completed = dict[str, Glance]()
        for task in tasks:
            # Newest first: what completed after it was seen before it.
            if task.state is TaskState.COMPLETED:
                completed[task.name] = task
            elif task.state is TaskState.FAILED:
                if task.name in completed:
                    return Step(
                        kind=StepKind.ERROR, name=name, is_done=True, task=completed[task.name]
                    )
                unmended = unmended or task
    return Step(kind=StepKind.ERROR, name=name, is_done=False, task=unmended)


def _telling(tasks: Sequence[Glance]) -> Glance | None:
    """Return the newest that completed, else the newest that may yet."""
    completed = (each for each in tasks if each.state is TaskState.COMPLETED)
    under_way = (each for each in tasks if not each.state.is_final)
    return next(completed, None) or next(under_way, None)


def _is_completed(task: Glance | None) -> bool:
    return task is not None and task.state is TaskState.COMPLETED
