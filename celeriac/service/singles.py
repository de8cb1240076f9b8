"""Requests that make one task each: those that come at the same time are checked together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.core.acceptance import Reservation, Submission, Wanted, WantedTask
from celeriac.core.file_reference import without_file_ids
from celeriac.core.task import NewTask, TaskId, Twin
from celeriac.errors import CeleriacError, NotPermittedError, TaskNameNotFoundError
from celeriac.service.callers import Caller, Scope
from celeriac.service.checking import Alike, Checked, Checking
from celeriac.service.reserving import reservation_id
from celeriac.service.submission import SubmitRequest, new_task
from celeriac.service.task_ids import new_task_id

# A new task by whose it is and which checked request it is made of.
_Likes = dict[tuple[str, int], WantedTask | CeleriacError]


@dataclass(frozen=True, slots=True)
class Single:
    """A request for one task."""

    request: SubmitRequest
    # The task's id.
    task_id: TaskId


class Singles:
    """Makes what is to be accepted of such requests."""

    def __init__(self, checking: Checking) -> None:
        self._checking = checking

    def make(self, asked: Sequence[tuple[Single, Caller]]) -> list[Submission | Exception]:
        """Return what each request hands in, in order, or what it is refused with."""
        checked = self._check([single.request for single, _ in asked])
        likes: _Likes = {}
        return [
            _make(single, caller, each, likes)
            for (single, caller), each in zip(asked, checked, strict=True)
        ]

    def _check(self, requests: Sequence[SubmitRequest]) -> Sequence[Checked | Alike | Exception]:
        try:
            return self._checking.check_many(requests)
        # A task's own validator may do anything, and does it to none of its neighbours.
        except Exception:
            return [self._check_alone(request) for request in requests]

    def _check_alone(self, request: SubmitRequest) -> Checked | Exception:
        try:
            return self._checking.check(request)
        except Exception as error:
            return error


def _make(
    single: Single, caller: Caller, checked: Checked | Alike | Exception, likes: _Likes
) -> Submission | Exception:
    try:
        caller.require(Scope.SUBMIT)
    except NotPermittedError as error:
        return error
    name = single.request.name
    if not caller.knows(name):
        return TaskNameNotFoundError(name)
    if isinstance(checked, Exception):
        return checked
    wanted: Wanted | CeleriacError
    if isinstance(checked, Alike):
        wanted = _twin(single, caller, checked, likes)
    else:
        wanted = wanted_of(checked, name, caller, single.task_id)
    return wanted if isinstance(wanted, CeleriacError) else Submission(tasks=(wanted,))


def _twin(single: Single, caller: Caller, alike: Alike, likes: _Likes) -> Twin | CeleriacError:
    key = caller.name, id(alike.other)
    like = likes.get(key)
    if like is None:
        like = likes[key] = wanted_of(alike.other, single.request.name, caller, new_task_id())
    if isinstance(like, CeleriacError):
        return like
    return Twin(single.task_id, alike.arguments, like.task)


def wanted_of(
    checked: Checked | CeleriacError, name: str, caller: Caller, task_id: TaskId
) -> WantedTask | CeleriacError:
    """Return what a checked request of a caller makes, or why it makes nothing."""
    if not caller.knows(name):
        return TaskNameNotFoundError(name)
    if not isinstance(checked, Checked):
        return checked
    task = new_task(
        task_id,
        checked.request,
        checked.arguments,
        queue=checked.queue,
        submitted_by=caller.name,
        now=checked.at,
    )
    return WantedTask(task=task, unique=_unique(checked, task))


def _unique(checked: Checked, task: NewTask) -> Reservation | None:
    lifetime = checked.request.options.unique_for
    if lifetime is None:
        return None
    # In whatever order the arguments were named, and whenever a file among them was sent.
    arguments = json.dumps(json.loads(without_file_ids(task.arguments.text)), sort_keys=True)
    parts = ("unique task", task.submitted_by or "", task.name, task.queue, arguments)
    return Reservation(id=reservation_id(*parts), lifetime=lifetime)
