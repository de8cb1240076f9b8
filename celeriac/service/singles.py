"""Requests that make one task each: those that come at the same time are checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.core.acceptance import Submission
from celeriac.core.task import TaskId
from celeriac.errors import CeleriacError, NotPermittedError, TaskNameNotFoundError
from celeriac.service.callers import Caller, Scope
from celeriac.service.checking import Alike, Checked, Checking
from celeriac.service.likes import Likes
from celeriac.service.submission import SubmitRequest


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
        likes = Likes()
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
    single: Single, caller: Caller, checked: Checked | Alike | Exception, likes: Likes
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
    wanted = likes.wanted_of(checked, name, caller, single.task_id)
    return wanted if isinstance(wanted, CeleriacError) else Submission(tasks=(wanted,))
