"""What can be submitted: every task function with its schema and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from celeriac.core.file_reference import FileId
from celeriac.core.nearest import did_you_mean, nearest
from celeriac.core.task import Arguments
from celeriac.core.task_type import TaskType
from celeriac.engine.modules import ImportProblem
from celeriac.errors import InvalidArgumentsError, TaskNameNotFoundError
from celeriac.samples import NAMES as SAMPLES
from celeriac.service.callers import Caller, Scope

Json = Any


class Catalogue(Protocol):
    """What is used of the engine's catalogue of task functions."""

    def names(self) -> Sequence[str]:
        """Return the name of every task function that may be submitted."""
        ...

    def problems(self) -> Sequence[ImportProblem]:
        """Return which task modules could not be imported, and why."""
        ...

    def describe(self, name: str) -> TaskType:
        """Return one of them; TaskNameNotFoundError when there is none."""
        ...

    def validate(
        self, name: str, kwargs: dict[str, Json], *, files: frozenset[FileId] = frozenset()
    ) -> Arguments:
        """Return the arguments as they are stored; InvalidArgumentsError when they do not fit.

        Only the given files may be referred to.
        """
        ...

    def validate_many(
        self, name: str, many: Sequence[dict[str, Json]]
    ) -> Sequence[Arguments | InvalidArgumentsError]:
        """Return the same of many calls, in order; TaskNameNotFoundError when there is none.

        No file may be referred to.
        """
        ...


class TaskTypeService:
    """Tells callers what they can submit."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def names(self) -> tuple[str, ...]:
        """Return the name of every task function, sorted."""
        return tuple(sorted(self._catalogue.names()))

    def has(self, name: str) -> bool:
        """Return whether a task function of this name may be submitted."""
        return name in self._catalogue.names()

    def list_task_types(self, *, by: Caller) -> tuple[TaskType, ...]:
        """Return every task function that exists for this caller, by name.

        Raises:
            NotPermittedError: The caller may not read.
        """
        by.require(Scope.READ)
        return tuple(each for each in self.all() if by.knows(each.name))

    def get_task_type(self, name: str, *, by: Caller) -> TaskType:
        """Return one task function.

        Raises:
            NotPermittedError: The caller may not read.
            TaskNameNotFoundError: There is none of this name.
        """
        by.require(Scope.READ)
        return self._describe(name, by)

    def get_schema(self, name: str, *, by: Caller) -> Mapping[str, Json]:
        """Return the JSON Schema of a task function's arguments, for one who will submit it.

        Raises:
            NotPermittedError: The caller may not submit.
            TaskNameNotFoundError: There is none of this name.
        """
        by.require(Scope.SUBMIT)
        return self._describe(name, by).schema

    def list_unloaded(self, *, by: Caller) -> tuple[str, ...]:
        """Return which task modules could not be imported, where and why, a sentence for each.

        Whoever does not see everything is told neither folders nor what the exceptions say.
        """
        may_see = by.sees_all and not by.task_patterns
        return tuple(str(each) if may_see else each.brief for each in self._catalogue.problems())

    def no_such_name(self, name: str, *, by: Caller) -> TaskNameNotFoundError:
        """Return how a caller is told that there is no task of a name.

        With the names that may have been meant and the modules that could not be imported, for one
        who may read the names there are.
        """
        if Scope.READ not in by.scopes:
            return TaskNameNotFoundError(name)
        question = did_you_mean(nearest(name, filter(by.knows, self.names())))
        if name in SAMPLES and SAMPLES.isdisjoint(self.names()):
            # Whoever turned them off wonders; no module failed.
            question = "it is a sample, and the samples are off (CELERIAC_SAMPLES);"
        unloaded = [each.brief for each in self._catalogue.problems()]
        return TaskNameNotFoundError(name, question=question, unloaded=unloaded)

    def all(self) -> tuple[TaskType, ...]:
        """Return every task function, for the description of the whole service."""
        return tuple(self._catalogue.describe(name) for name in self.names())

    def _describe(self, name: str, by: Caller) -> TaskType:
        if by.knows(name):
            # The catalogue cannot say what was meant: it does not know who asks.
            with suppress(TaskNameNotFoundError):
                return self._catalogue.describe(name)
        raise self.no_such_name(name, by=by)
