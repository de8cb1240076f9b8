"""Celeriac's own tasks: what a canvas needs run when no task of the user's is there to do it.

They are inserted by the ledger, in the transaction that makes them due, and run in a child like
any other task: what they send is written with their completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.app.task import Context
from celery.canvas import chord, group, maybe_signature
from celery.exceptions import ChordError

from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskId
from celeriac.engine import codec
from celeriac.engine.chords import leaves
from celeriac.engine.collector import current_collector
from celeriac.engine.foreign_chords import PLACE

FIRE_CHORD = "celeriac.fire_chord"
CALL_ERRBACKS = "celeriac.call_errbacks"


def fire_chord(app: Any, chord_id: str) -> None:
    """Send a chord's body with its header's results, or have the body fail."""
    road = app.celeriac.road
    sent = road.find_chord(chord_id)
    if sent is None:
        raise LookupError(f"no chord has the id {chord_id}")
    made = codec.load_typed(sent.body)
    body = maybe_signature(made["body"], app=app)
    header = made["header"] or _header_of_parts(road, chord_id, made["parent"])
    tasks = road.find([TaskId(task_id) for task_id in leaves(header)])
    collector = current_collector()
    if collector is None:
        raise RuntimeError("a chord is fired by a worker")
    # Whatever is sent from here on is this task's end: the body starts exactly once.
    collector.is_ending = True
    failed = _first_failed(header, tasks)
    if failed is None:
        body.apply_async(([_result(part, tasks) for part in header[1]],))
        return
    error = ChordError(f"Dependency {failed.id} raised {_reason(failed)}")
    for task_id, errbacks in _errbacks(body):
        request = Context({"id": task_id, "errbacks": errbacks, "delivery_info": {}})
        app.backend.call_errbacks(request, error)
    # The body waits for this task: failing, it takes the body and all behind it along.
    raise error


def _header_of_parts(road: Any, chord_id: str, parent_id: str) -> Any:
    """Return the header of a chord whose producer kept it to itself, by its parts' places."""
    found = road.find(road.children_of(TaskId(parent_id))).values()
    places = {
        task.id: codec.load_typed(task.headers).get(PLACE)
        for task in found
        if task.group_id == chord_id
    }
    parts = sorted((place, task_id) for task_id, place in places.items() if place is not None)
    return ((chord_id, None), [((task_id, None), None) for _, task_id in parts])


def _reason(task: Task) -> str:
    return f"{task.error.type}({task.error.message!r})" if task.error else str(task.state)


def _errbacks(body: Any) -> list[tuple[str, list[Any]]]:
    """Return the ids under a chord's body with the errbacks of each."""
    own = list(body.options.get("link_error") or [])
    if isinstance(body, group):
        return [
            (task_id, errbacks + own)
            for part in body.tasks
            for task_id, errbacks in _errbacks(part)
        ]
    if isinstance(body, chord):
        return [(task_id, errbacks + own) for task_id, errbacks in _errbacks(body.body)]
    return [(body.id, own)]


def _first_failed(header: Any, tasks: Mapping[TaskId, Task]) -> Task | None:
    for task_id in leaves(header):
        task = tasks[TaskId(task_id)]
        if task.state is not TaskState.COMPLETED:
            return task
    return None


def _result(part: Any, tasks: Mapping[TaskId, Task]) -> Any:
    (task_id, _), parts = part
    if parts is not None:
        return [_result(each, tasks) for each in parts]
    task = tasks[TaskId(task_id)]
    return codec.load(task.result_codec, task.result) if task.result is not None else None


def call_errbacks(app: Any, task_id: str) -> None:
    """Call the errbacks of a task that failed where none of its own code could run."""
    backend = app.backend
    task = app.celeriac.road.find([TaskId(task_id)])[TaskId(task_id)]
    kept = codec.load_typed(task.headers)
    request = Context(
        {
            "id": task.id,
            "task": task.name,
            "root_id": task.root_id or task.id,
            "parent_id": task.parent_id,
            "errbacks": kept.get("errbacks") or [],
            "delivery_info": {"routing_key": task.queue},
        }
    )
    backend.call_errbacks(request, backend.exception_of(task))


def register(app: Celery) -> None:
    """Make these tasks known to an app, under the names that the ledger inserts."""

    # Not shared: another app of this process has a ledger of its own, and tasks for it.
    @app.task(name=FIRE_CHORD, shared=False, ignore_result=True, throws=(ChordError,))
    def _fire_chord(chord_id: str) -> None:
        fire_chord(app, chord_id)

    @app.task(name=CALL_ERRBACKS, shared=False, ignore_result=True)
    def _call_errbacks(task_id: str) -> None:
        call_errbacks(app, task_id)
