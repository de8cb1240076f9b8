"""What stands in for the other rooms where a test is about one of them, and how a value is made."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from celeriac.core.change import Change
from celeriac.core.file_reference import FileId
from celeriac.core.outcome import Ended
from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, Doorbell, NewTask, Task, TaskId
from celeriac.core.task_type import TaskType
from celeriac.core.user import Role, User
from celeriac.core.worker import NewWorker, Worker
from celeriac.engine.contract import Contract
from celeriac.engine.modules import ImportProblem
from celeriac.errors import (
    FieldProblem,
    InvalidArgumentsError,
    LedgerUnavailableError,
    TaskNameNotFoundError,
)
from celeriac.files.file import SentFiles, refuse_strangers
from celeriac.ledger.open import Ledger, open_ledger
from celeriac.service.callers import SCOPES, Caller
from celeriac.service.task_types import Catalogue

Json = Any

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        """Let time pass."""
        self.at += timedelta(**by)


class ListedCatalogue:
    """A catalogue of what it is given; every argument is a text."""

    def __init__(self, *task_types: TaskType) -> None:
        self._by_name = {each.name: each for each in task_types}
        self.unloaded: tuple[ImportProblem, ...] = ()

    def add(self, task_type: TaskType) -> None:
        """Know of one more."""
        self._by_name[task_type.name] = task_type

    def names(self) -> list[str]:
        """Return every name."""
        return sorted(self._by_name)

    def problems(self) -> tuple[ImportProblem, ...]:
        """Return what a test says could not be imported."""
        return self.unloaded

    def describe(self, name: str) -> TaskType:
        """Return one of them."""
        if name not in self._by_name:
            raise TaskNameNotFoundError(name)
        return self._by_name[name]

    def validate(
        self, name: str, kwargs: dict[str, Json], *, files: frozenset[FileId] = frozenset()
    ) -> Arguments:
        """Return the arguments if they are the properties of the schema, all of them text."""
        properties = self.describe(name).schema["properties"]
        problems = [
            *(FieldProblem(f"/{each}", "Field required") for each in properties - kwargs.keys()),
            *(FieldProblem(f"/{each}", "is unknown") for each in kwargs.keys() - properties.keys()),
            *(
                FieldProblem(f"/{each}", "must be a text")
                for each, value in kwargs.items()
                if each in properties and not isinstance(value, str)
            ),
        ]
        if problems:
            raise InvalidArgumentsError(name, tuple(problems))
        return Arguments(codec=Codec.JSON, text=json.dumps([[], kwargs]))

    def validate_many(
        self, name: str, many: Sequence[dict[str, Json]]
    ) -> list[Arguments | InvalidArgumentsError]:
        """Return the same of many."""
        return validate_each(self, name, many)


class FunctionCatalogue:
    """A catalogue of functions, each with the contract that its hints make."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self._contracts = {
            name: Contract.of(function, name=name) for name, function in functions.items()
        }
        self.unloaded: tuple[ImportProblem, ...] = ()

    def names(self) -> list[str]:
        """Return every name."""
        return sorted(self._contracts)

    def problems(self) -> tuple[ImportProblem, ...]:
        """Return what a test says could not be imported."""
        return self.unloaded

    def describe(self, name: str) -> TaskType:
        """Return one of them."""
        if name not in self._contracts:
            raise TaskNameNotFoundError(name)
        return TaskType(name=name, schema=self._contracts[name].schema)

    def validate(
        self, name: str, kwargs: dict[str, Json], *, files: frozenset[FileId] = frozenset()
    ) -> Arguments:
        """Return the arguments if they fit."""
        self.describe(name)
        self._contracts[name].check(kwargs, name, files=SentFiles(files))
        text = json.dumps([[], kwargs])
        refuse_strangers(name, text, files)
        return Arguments(codec=Codec.JSON, text=text)

    def validate_many(
        self, name: str, many: Sequence[dict[str, Json]]
    ) -> list[Arguments | InvalidArgumentsError]:
        """Return the same of many."""
        return validate_each(self, name, many)


def validate_each(
    catalogue: Catalogue, name: str, many: Sequence[dict[str, Json]]
) -> list[Arguments | InvalidArgumentsError]:
    """Return what a catalogue says of the arguments of each call."""
    found: list[Arguments | InvalidArgumentsError] = []
    for kwargs in many:
        try:
            found.append(catalogue.validate(name, kwargs))
        except InvalidArgumentsError as error:
            found.append(error)
    return found


class RecordingPublisher:
    """A broker's bell that remembers who rang."""

    def __init__(self) -> None:
        self.rung: list[Doorbell] = []
        self._changed = threading.Condition()

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Remember."""
        with self._changed:
            self.rung += doorbells
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[TaskId]:
        """Return for which tasks it was rung, once that is so often: it follows the answer."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.rung) >= count, timeout=20)
            return [doorbell.task_id for doorbell in self.rung]


class RecordingWorkers:
    """Workers that remember what they were told to stop."""

    def __init__(self) -> None:
        self.interrupted: list[TaskId] = []
        self.changed: list[TaskId] = []
        self.ended: list[TaskId] = []

    def interrupt(self, task: Task) -> None:
        """Remember."""
        self.interrupted.append(task.id)

    def tell_changed(self, task_ids: Sequence[TaskId]) -> None:
        """Remember."""
        self.changed.extend(task_ids)

    def tell_ended(self, ended: Sequence[Ended]) -> None:
        """Remember."""
        self.ended.extend(each.task_id for each in ended)


class SpokenChanges:
    """Changes as a test says them, heard by whoever listens."""

    def __init__(self) -> None:
        self._ears: list[tuple[Callable[[Change], None], Callable[[], None]]] = []
        # How often somebody began to listen, and stopped.
        self.begun = 0
        self.stopped = 0

    def listen(self, hear: Callable[[Change], None], lose: Callable[[], None]) -> SpokenChanges:
        """Take an ear."""
        self._ears.append((hear, lose))
        self.begun += 1
        return self

    def stop(self) -> None:
        """Let go of all ears."""
        self._ears.clear()
        self.stopped += 1

    def say(self, *task_ids: str, is_partial: bool = False, **ended: int) -> None:
        """Say that tasks changed."""
        ids = tuple(TaskId(each) for each in task_ids)
        for hear, _ in self._ears:
            hear(Change(task_ids=ids, ended=ended, is_partial=is_partial))

    def fall_silent(self) -> None:
        """Have nothing heard for a while."""
        for _, lose in self._ears:
            lose()


class AwayLedger:
    """A ledger whose database does not answer."""

    @property
    def tasks(self) -> Any:
        """Nothing."""
        raise LedgerUnavailableError("connection to db.internal:5432 refused")

    leases = tasks
    users = tasks
    queues = tasks
    submissions = tasks


def process_type(**changes: Any) -> TaskType:
    """Return a task type that takes one text."""
    schema = {
        "type": "object",
        "properties": {"data": {"type": "string"}},
        "required": ["data"],
        "additionalProperties": False,
    }
    return replace(TaskType(name="process", title="Process some text", schema=schema), **changes)


def make_caller(name: str = "ada", role: Role = Role.SUBMITTER) -> Caller:
    """Return someone who asks."""
    return Caller(name=name, scopes=SCOPES[role])


def make_user(**changes: Any) -> User:
    """Return a user."""
    user = User(
        name="ada",
        role=Role.SUBMITTER,
        password_hash="",
        token_version=1,
        is_disabled=False,
        created_at=NOON,
    )
    return replace(user, **changes)


def make_task(**changes: Any) -> Task:
    """Return a queued task."""
    task = Task(
        id=TaskId("task-1"),
        name="process",
        arguments=Arguments(codec=Codec.JSON, text='[[],{"data":"x"}]'),
        queue="default",
        priority=5,
        headers="{}",
        state=TaskState.QUEUED,
        version=1,
        attempt=0,
        max_attempts=None,
        retries=0,
        crashes=0,
        created_at=NOON,
    )
    return replace(task, **changes)


def make_new_task(**changes: Any) -> NewTask:
    """Return a task that does not exist yet."""
    arguments = Arguments(codec=Codec.JSON, text='[[],{"data":"x"}]')
    return replace(NewTask(id=TaskId("task-1"), name="process", arguments=arguments), **changes)


def make_new_worker(**changes: Any) -> NewWorker:
    """Return what a worker tells of itself."""
    worker = NewWorker(
        id="worker-1",
        name="celery@host",
        queues=("default",),
        machine="host",
        pid=1,
        process_started="",
        pool="solo",
        slots=1,
    )
    return replace(worker, **changes)


def make_worker(**changes: Any) -> Worker:
    """Return a worker that has joined."""
    new = make_new_worker()
    facts = {name: getattr(new, name) for name in NewWorker.__slots__}
    worker = Worker(**facts, sequence=1, started_at=NOON, heartbeat_at=NOON)
    return replace(worker, **changes)


def open_test_ledger(folder: Path, **options: Any) -> Ledger:
    """Return an empty ledger on SQLite, without going through the migrations each time."""
    shutil.copy(_template() / "ledger.db", folder / "ledger.db")
    return open_ledger(f"sqlite:///{folder / 'ledger.db'}", **options)


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="celeriac-ledger-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_ledger(f"sqlite:///{folder / 'ledger.db'}").close()
    return folder
