"""One worker with everything around it: broker, ledger, effects, and a client in this process."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from celery import _state

from celeriac.core.page import TaskFilter
from celeriac.core.state import FINAL_STATES, TaskState
from celeriac.core.task import Attempt, Task, TaskId
from celeriac.errors import TaskAlreadyFinalError
from celeriac.ledger.open import Ledger, open_ledger
from tests.effects import Effects, Gates

# Imported once and for all: a library's task belongs to every app.
from tests.integration.apps import shared as _shared  # noqa: F401
from tests.servers.processes import PROJECT, wait_until
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess

APP = "tests.integration.apps.conformance"
UNFINISHED = tuple(state for state in TaskState if state not in FINAL_STATES)


class Stage:
    """What one test, or all tests of one kind of worker, play on.

    The client is the module of the conformance app, loaded anew with this stage's settings, so that
    its tasks submit to this stage; `client.add.delay(1, 2)` is what a user's program would write.
    """

    def __init__(
        self,
        folder: Path,
        *,
        broker: ValkeyServer,
        ledger_url: str = "",
        pool: str = "processes",
        concurrency: int = 2,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.broker = broker
        self.pool = pool
        self.concurrency = 1 if pool == "solo" else concurrency
        ledger_url = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        self.environment = {
            "CELERIAC_DATA_DIR": str(folder / "data"),
            "CELERIAC_BROKER_URL": broker.url,
            "CELERIAC_DATABASE_URL": ledger_url,
            "EFFECTS_FILE": str(folder / "effects.db"),
            "GATES_FOLDER": str(folder / "gates"),
            **(settings or {}),
        }
        self.effects = Effects(folder / "effects.db")
        self.gates = Gates(folder / "gates")
        self.ledger: Ledger = open_ledger(ledger_url)
        self.client = load_client(self.environment)
        self.workers: list[WorkerProcess] = []
        self.worker = self.add_worker("worker")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.stop()
        # A program of the user's ends without this; a test process goes on.
        self.client.app.celeriac.close()
        self.client.app.close()
        self.ledger.close()

    def add_worker(
        self,
        name: str,
        *,
        app: str = APP,
        pool: str = "",
        concurrency: int = 0,
        queues: Sequence[str] = ("default",),
        arguments: Sequence[str] = ("--without-mingle",),
    ) -> WorkerProcess:
        """Return one more worker of this stage, not started yet."""
        worker = WorkerProcess(
            app,
            folder=self.folder,
            environment=self.environment,
            pool=pool or self.pool,
            concurrency=concurrency or self.concurrency,
            queues=queues,
            name=name,
            arguments=arguments,
        )
        self.workers.append(worker)
        return worker

    def find(self, task_id: str) -> Task | None:
        """Return what the ledger holds of a task."""
        return self.ledger.tasks.find(TaskId(task_id))

    def get(self, task_id: str) -> Task:
        """Return what the ledger holds of a task that must be there."""
        return self.ledger.tasks.get(TaskId(task_id))

    def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the ended attempts at a task."""
        return self.ledger.tasks.attempts(TaskId(task_id))

    def endings(self, task_id: str) -> list[str]:
        """Return in one word each how the attempts at a task ended."""
        return [attempt.ending for attempt in self.attempts(task_id)]

    def wait_for_state(self, task_id: str, state: TaskState, *, seconds: float = 15) -> Task:
        """Wait until a task is in a state, and return it.

        Raises:
            ProcessFailedError: It was not in time; says where it is and shows the worker's log.
        """
        deadline = time.monotonic() + seconds
        while (task := self.find(task_id)) is None or task.state is not state:
            if time.monotonic() > deadline:
                raise self.worker.failed(f"did not bring to {state}: {task}")
            time.sleep(0.02)
        return task

    def wait_until_all_end(self, *, seconds: float = 15) -> None:
        """Wait until no task is left that is not final."""
        deadline = time.monotonic() + seconds
        while unfinished := self.unfinished():
            if time.monotonic() > deadline:
                listed = "\n".join(f"{t.id} {t.name} {t.state} {t.attempt}" for t in unfinished[:9])
                raise self.worker.failed(f"left {len(unfinished)} tasks unfinished:\n{listed}")
            time.sleep(0.05)

    def clear(self) -> None:
        """Cancel whatever a failed test left behind, so that the next one finds a quiet stage."""
        for task in self.unfinished():
            try:
                self.ledger.tasks.request_cancel(task.id)
            except TaskAlreadyFinalError:
                continue
        if self.unfinished():
            # A task that cannot be stopped: only a new worker is quiet again.
            self.worker.kill_group()
            self.worker.start_ready()

    def unfinished(self) -> tuple[Task, ...]:
        """Return tasks that are not final, at most a page of them."""
        return self.list_tasks(*UNFINISHED)

    def list_tasks(self, *states: TaskState) -> tuple[Task, ...]:
        """Return the newest tasks that are in one of some states, at most a page of them."""
        return self.ledger.tasks.list(TaskFilter(states=states), after=None, limit=200).items

    def doorbells(self) -> int:
        """Return how many doorbells lie in the broker for the default queue."""
        broker: Any = self.broker.client()
        # A list for each priority.
        return sum(broker.llen(name) for name in broker.keys("default*"))

    def wait_until_quiet(self) -> None:
        """Wait until nothing changes any more although tasks are left: they wait at a gate."""
        before: tuple[Task, ...] = ()
        while (now := self.unfinished()) != before:
            before = now
            time.sleep(0.15)

    def wait_for_effect(self, key: str, *, count: int = 1, seconds: float = 15) -> None:
        """Wait until a task function has left that many lines under a key."""
        wait_until(
            lambda: len(self.effects.of(key)) >= count, f"{count} lines of {key}", seconds=seconds
        )

    @contextmanager
    def all_slots_taken(self, gate: str) -> Iterator[list[str]]:
        """Keep every slot of the worker busy with a task that waits; yield their ids."""
        results = [self.client.wait_for.delay(gate, gate) for _ in range(self.concurrency)]
        try:
            self.wait_for_effect(f"{gate}:start", count=self.concurrency)
            yield [result.id for result in results]
        finally:
            self.gates.open(gate)
        for result in results:
            result.get(timeout=15)


def load_client(environment: Mapping[str, str]) -> Any:
    """Return the conformance app's module, executed anew under an environment.

    Not an import: each stage has settings of its own, and a module is imported once per process.
    """
    # Celery gives every task of every app to all apps of the process, and two modules of one name
    # would quarrel over it.
    known = set(_state._on_app_finalizers)
    file = PROJECT.joinpath(*APP.split(".")).with_suffix(".py")
    specification = importlib.util.spec_from_file_location(APP, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        specification.loader.exec_module(module)
    finally:
        os.environ.clear()
        os.environ.update(before)
        _state._on_app_finalizers.intersection_update(known)
    return module
