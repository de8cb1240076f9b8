"""Celery apps on a ledger and a broker of their own, and what a worker of theirs is handed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery, _state, concurrency
from kombu.transport import memory

from celeriac.core.moments import to_micros
from celeriac.core.task import Arguments, ClaimedTask, NewTask, TaskId
from celeriac.engine import codec
from celeriac.engine.app import create_celery
from celeriac.settings import Settings


@contextmanager
def open_app(folder: Path, *, broker_url: str = "memory://", **settings: Any) -> Iterator[Celery]:
    """Give an app that keeps everything in a folder, and leave the process as it was found."""
    default, current = _state.default_app, _state._tls.current_app
    aliases = dict(concurrency.ALIASES)
    # Celery gives every task of every app to all apps that are made later.
    shared = set(_state._on_app_finalizers)
    app = create_celery(Settings(data_dir=folder, broker_url=broker_url, **settings), name=__name__)
    app.set_current()
    try:
        yield app
    finally:
        # The broker of one process is one for all its tests, unless it is emptied.
        memory.Channel.queues.clear()
        memory.Transport.global_state.clear()
        app.celeriac.close()
        app.close()
        concurrency.ALIASES.update(aliases)
        _state._on_app_finalizers.intersection_update(shared)
        _state.default_app, _state._tls.current_app = default, current


@contextmanager
def plain_app(**options: Any) -> Iterator[Celery]:
    """Give an app without a ledger, and leave the process as it was found."""
    default, current = _state.default_app, _state._tls.current_app
    app = Celery("tests", broker="memory://", **options)
    try:
        yield app
    finally:
        app.close()
        # Closed, it would still be the current one: a task that is made later is told to all apps
        # but to those that are closed, and asks the current one for itself.
        _state.default_app, _state._tls.current_app = default, current


def make_arguments(*args: Any, **kwargs: Any) -> Arguments:
    """Return arguments as they are kept."""
    return codec.dump_arguments(args, kwargs)


def claim_of(task: NewTask, **changes: Any) -> ClaimedTask:
    """Return what a worker would get by claiming a task for the first time."""
    facts: dict[str, Any] = {
        "lease_token": "lease",
        "attempt": 1,
        "crashes": 0,
        "arguments_codec": task.arguments.codec,
        "arguments_text": task.arguments.text,
        "expires_micros": to_micros(task.expires_at),
    }
    for name in ClaimedTask._fields:
        if hasattr(task, name):
            facts[name] = getattr(task, name)
    return ClaimedTask(**{**facts, **changes})


def make_claimed(
    name: str, *args: Any, task_id: str = "task-1", headers: str = "{}", **changes: Any
) -> ClaimedTask:
    """Return a claimed task."""
    task = NewTask(id=TaskId(task_id), name=name, arguments=make_arguments(*args), headers=headers)
    return claim_of(task, **changes)


class Request:
    """Celery's Request as far as the pool speaks to it, remembering what it was told."""

    name = task_name = "add"

    def __init__(self, task_id: str = "task-1", *, is_revoked: bool = False) -> None:
        self.id = task_id
        self.acknowledged = False
        self.acknowledgements = 0
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.accepted: list[tuple[int, float]] = []
        self._is_revoked = is_revoked

    def acknowledge(self) -> None:
        """Tell the broker, once."""
        self.acknowledged = True
        self.acknowledgements += 1

    def on_accepted(self, pid: int, at: float) -> None:
        """Note which process runs it."""
        self.accepted.append((pid, at))

    def revoked(self) -> bool:
        """Whether Celery's own revoke has told of it."""
        return self._is_revoked

    def send_event(self, kind: str, **facts: Any) -> None:
        """Note an event."""
        self.events.append((kind, facts))
