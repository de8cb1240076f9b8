"""The tasks an app knows, as the service speaks of them: names, schemas, queues."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from celeriac.core.file_reference import MARK, FileId
from celeriac.core.task import DEFAULT_QUEUE, Arguments, Codec
from celeriac.core.task_type import TaskType, is_internal
from celeriac.engine.contract import Contract
from celeriac.engine.modules import ImportProblem
from celeriac.engine.typed_task import TypedTask
from celeriac.errors import InvalidArgumentsError, TaskNameNotFoundError
from celeriac.files.file import SentFiles, refuse_strangers

Json = Any

# Made once: `json.dumps` makes another each time that it is to leave the blanks out.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_MARK = MARK.encode()


class Catalogue:
    """Every task name that may be submitted, with what its function takes."""

    def __init__(self, app: Any) -> None:
        self._app = app
        # By name, with the task it was read from: an app may register another under the same name.
        self._contracts: dict[str, tuple[Any, Contract]] = {}
        # Likewise; every submission asks for its queue.
        self._types: dict[str, tuple[Any, TaskType]] = {}

    def names(self) -> list[str]:
        """Return the names of all tasks that may be submitted, in order."""
        return sorted(name for name in self._app.tasks if not is_internal(name))

    def problems(self) -> tuple[ImportProblem, ...]:
        """Return which task modules could not be imported, and why."""
        # The loader of an existing app has none: it goes no further than the first.
        found: tuple[ImportProblem, ...] = getattr(self._app.loader, "problems", ())
        return found

    def list_task_types(self) -> list[TaskType]:
        """Return all tasks that may be submitted, in the order of their names."""
        return [self.describe(name) for name in self.names()]

    def queues(self) -> set[str]:
        """Return the queues in which these tasks wait when nobody names another."""
        return {self._queue(self._app.tasks[name]) for name in self.names()}

    def describe(self, name: str) -> TaskType:
        """Return what is known of every task of this name.

        Raises:
            TaskNameNotFoundError: There is none, or it is none that may be submitted.
        """
        task = self._find(name)
        known, task_type = self._types.get(name, (None, None))
        if task_type is None or known is not task:
            task_type = self._read(name, task)
            self._types[name] = (task, task_type)
        return task_type

    def validate(
        self, name: str, kwargs: Mapping[str, Json], *, files: frozenset[FileId] = frozenset()
    ) -> Arguments:
        """Return named arguments as they are kept, once they fit the task function.

        Args:
            name: The task name.
            kwargs: The arguments, out of JSON; a file is its reference.
            files: Those the caller may refer to; every other reference is no file.

        Raises:
            TaskNameNotFoundError: There is no such task that may be submitted.
            InvalidArgumentsError: They do not fit.
        """
        task = self._find(name)
        contract = self._contract(task)
        contract.check(kwargs, name, files=SentFiles(files))
        args, named = contract.place(kwargs)
        text = _ENCODER.encode([args, named])
        refuse_strangers(name, text, files)
        return Arguments(codec=Codec.JSON, text=text)

    def validate_many(
        self, name: str, many: Sequence[Mapping[str, Json]]
    ) -> list[Arguments | InvalidArgumentsError]:
        """Return the named arguments of many calls as they are kept, or why they do not fit.

        Args:
            name: The task name.
            many: The arguments of each, out of JSON; none of them takes a file.

        Raises:
            TaskNameNotFoundError: There is no such task that may be submitted.
        """
        contract = self._contract(self._find(name))
        texts = [_text_of(kwargs) for kwargs in many]
        if not contract.is_named or None in texts:
            return [self._validated(name, kwargs) for kwargs in many]
        written = [text for text in texts if text is not None]
        misfits = contract.misfits(written)
        return [
            self._validated(name, many[place])
            if place in misfits or _MARK in text
            else Arguments(codec=Codec.JSON, text=f"[[],{text.decode()}]")
            for place, text in enumerate(written)
        ]

    def _validated(
        self, name: str, kwargs: Mapping[str, Json]
    ) -> Arguments | InvalidArgumentsError:
        try:
            return self.validate(name, kwargs)
        except InvalidArgumentsError as error:
            return error

    def _read(self, name: str, task: Any) -> TaskType:
        title, _, description = inspect.cleandoc(task.__doc__ or "").partition("\n")
        return TaskType(
            name=name,
            title=title.strip().removesuffix("."),
            description=description.strip(),
            schema=self._contract(task).schema,
            queue=self._queue(task),
            max_attempts=_max_attempts(task),
            timeout_seconds=task.time_limit or task.soft_time_limit,
        )

    def _find(self, name: str) -> Any:
        task = None if is_internal(name) else self._app.tasks.get(name)
        if task is None:
            raise TaskNameNotFoundError(name)
        return task

    def _contract(self, task: Any) -> Contract:
        if isinstance(task, TypedTask):
            return task.contract
        known, contract = self._contracts.get(task.name, (None, None))
        if contract is None or known is not task:
            # `run` is bound to a task that wants itself, so `self` is no argument of it.
            contract = Contract.of(task.run, name=task.name)
            self._contracts[task.name] = (task, contract)
        return contract

    def _queue(self, task: Any) -> str:
        own = getattr(task, "queue", None)
        if own:
            return str(getattr(own, "name", own))
        try:
            route = self._app.amqp.router.route({}, task.name, (), {}, task_type=task)
        # A router is the user's code, and may look at arguments that are not there yet.
        except Exception:
            return DEFAULT_QUEUE
        queue = route.get("queue", DEFAULT_QUEUE)
        return str(getattr(queue, "name", queue))


def _text_of(kwargs: Mapping[str, Json]) -> bytes | None:
    try:
        return orjson.dumps(kwargs)
    # It knows no number of more than 64 bits.
    except TypeError:
        return None


def _max_attempts(task: Any) -> int | None:
    retries = getattr(task, "retries", None)
    if retries is not None:
        return int(retries) + 1
    if getattr(task, "autoretry_for", ()):
        return None if task.max_retries is None else int(task.max_retries) + 1
    return None
