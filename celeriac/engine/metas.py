"""What Celery calls a task's meta: the state and the result, in the words of its backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
from celery import states
from celery.contrib.abortable import ABORTED

from celeriac.core.outcome import Ended
from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskError, TaskId
from celeriac.engine import codec
from celeriac.engine.failures import exception_facts

CELERY_STATES = {
    TaskState.WAITING: states.PENDING,
    TaskState.SCHEDULED: states.PENDING,
    TaskState.QUEUED: states.PENDING,
    TaskState.RUNNING: states.STARTED,
    TaskState.COMPLETED: states.SUCCESS,
    TaskState.FAILED: states.FAILURE,
    TaskState.CANCELLED: states.REVOKED,
    TaskState.EXPIRED: states.REVOKED,
}
_COMPLETED = TaskState.COMPLETED.value
# Not when it ended: the word was said a moment later.
_HEARD = ("task_id", "status", "result", "traceback", "children")


class HeardMeta(dict[str, Any]):
    """The meta of a completed task as the broker told it: state and result.

    What else a meta has is read out of the ledger when somebody asks for it.
    """

    def __init__(self, heard: dict[str, Any], read: Callable[[TaskId], dict[str, Any]]) -> None:
        super().__init__((name, heard[name]) for name in _HEARD)
        self._read = read

    def __missing__(self, name: str) -> Any:
        whole = self._read(self["task_id"])
        # What was heard, or another thread read, somebody may hold already: it stays as it is.
        for part, value in whole.items():
            self.setdefault(part, value)
        return self.setdefault(name, whole[name])

    def get(self, name: str, default: Any = None) -> Any:
        """Return a part, by whichever way there is."""
        try:
            return self[name]
        except KeyError:
            return default


def meta_of_task(task: Task, exception_of: Callable[[Task], BaseException]) -> dict[str, Any]:
    """Return the meta of a task as a backend hands it out: results and exceptions as objects."""
    meta: dict[str, Any] = {
        "task_id": task.id,
        "status": CELERY_STATES[task.state],
        "result": None,
        "traceback": None,
        "children": [],
        "date_done": task.finished_at,
        "name": task.name,
        "queue": task.queue,
        "worker": task.worker,
        "retries": task.retries,
        "parent_id": task.parent_id,
    }
    meta["args"], meta["kwargs"] = codec.load_arguments(task.arguments)
    if task.state is TaskState.COMPLETED:
        if task.result is not None:
            meta["result"] = codec.load(task.result_codec, task.result)
    elif task.state.is_final:
        meta["result"] = exception_of(task)
        meta["traceback"] = (task.error.traceback or None) if task.error else None
    elif (aborted := _aborted(task)) is not None:
        meta["status"], meta["result"] = aborted["state"], aborted["meta"]
    elif task.state is TaskState.SCHEDULED and task.retries:
        meta["status"] = states.RETRY
        meta["result"] = exception_of(task) if task.error else None
    elif task.state is TaskState.RUNNING and task.progress:
        told = codec.load_typed(task.progress)
        meta["status"], meta["result"] = told["state"], told["meta"]
    return meta


def _aborted(task: Task) -> Any | None:
    """Return what was told of a task that somebody aborts, whatever it does at this moment."""
    if not task.progress:
        return None
    told = codec.load_typed(task.progress)
    return told if told["state"] == ABORTED else None


def text_of_progress(task_id: TaskId, progress: str) -> bytes:
    """Return the meta of a task that runs and says something of itself, as Celery writes it down.

    Args:
        task_id: The task.
        progress: What it says, as the ledger keeps it: typed JSON, which Celery's own is, too.
    """
    told = json.loads(progress)
    meta = {
        "task_id": task_id,
        "status": told["state"],
        "result": told["meta"],
        "traceback": None,
        "children": [],
        # Last, and null: by this `show.lua` knows that it may be written over.
        "date_done": None,
    }
    return json.dumps(meta, separators=(",", ":")).encode()


def progress_of_start(pid: int) -> str:
    """Return what a task that has begun says of itself to plain clients, as Celery has it."""
    return json.dumps({"state": states.STARTED, "meta": {"pid": pid}})


def progress_of_retry(error: TaskError | None) -> str:
    """Return what a task that will be tried again says of itself to plain clients."""
    return json.dumps({"state": states.RETRY, "meta": _failure(TaskState.SCHEDULED, error)})


def text_of_ended(ended: Ended, *, at: str) -> bytes:
    """Return the meta of a task that has just ended, as Celery's own backends write it down.

    A result stands in it as it was kept: it is JSON already, and typed values stand as typed JSON
    in both.

    Args:
        ended: How it ended.
        at: When, as ISO 8601 writes it.
    """
    if ended.state == _COMPLETED:
        result = b"null" if ended.result is None else ended.result.encode()
        return (
            b'{"task_id":%b,"status":"SUCCESS","result":%b,"traceback":null,"children":[],'
            b'"date_done":"%b"}' % (orjson.dumps(ended.task_id), result, at.encode())
        )
    state = TaskState(ended.state)
    meta: dict[str, Any] = {
        "task_id": ended.task_id,
        "status": CELERY_STATES[state],
        "result": _failure(state, ended.error),
        "traceback": (ended.error.traceback or None) if ended.error else None,
        "children": [],
        "date_done": at,
    }
    # An exception's arguments may be numbers that only Python's JSON knows.
    return json.dumps(meta).encode()


def _failure(state: TaskState, error: TaskError | None) -> dict[str, Any]:
    facts = exception_facts(state, error)
    return {
        "exc_type": facts.type,
        "exc_message": facts.arguments,
        "exc_module": facts.module,
    }
