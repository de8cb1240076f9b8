"""Submitting tasks, one by one or many at once, and running those again that have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from celeriac.core.acceptance import (
    Accepted,
    Submission,
    TaskOutcome,
    Wanted,
    WantedTask,
    invalid_batch,
)
from celeriac.core.file_reference import find_file_ids
from celeriac.core.task import TaskId
from celeriac.core.task_ids import new_task_id
from celeriac.errors import (
    CeleriacError,
    FieldProblem,
    InvalidArgumentsError,
    InvalidBatchError,
    InvalidRequestError,
    TaskNameNotFoundError,
    TaskNotFinalError,
)
from celeriac.service.accepting import (
    DEFAULT_ROOM,
    Accepting,
    Doorman,
    HasSubmissions,
    Publisher,
    weight_of,
)
from celeriac.service.access import Bearer
from celeriac.service.callers import Caller, Scope
from celeriac.service.checking import Alike, Checked, Checking
from celeriac.service.likes import Likes, wanted_of
from celeriac.service.reports import FindsTasks, TaskReport, report_at_first, visible_task
from celeriac.service.reserving import reserve_key
from celeriac.service.retrying import changed_arguments, task_again
from celeriac.service.singles import Single, Singles
from celeriac.service.submission import SubmitRequest
from celeriac.service.task_types import Catalogue

logger = logging.getLogger(__name__)

Json = Any

# Stands for what is good in a batch that is not to be accepted in part.
_LEFT_OUT = InvalidBatchError(())


class Ledger(HasSubmissions, Protocol):
    """A ledger, as far as submitting is concerned."""

    @property
    def tasks(self) -> FindsTasks:
        """Its tasks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """How a request is known again that comes a second time because its answer was lost."""

    # The idempotency key, as the caller chose it.
    key: str
    # The whole request: with another one the key is refused.
    fingerprint: str
    # Makes the answer, which is kept and given again.
    to_answer: Callable[[Sequence[TaskOutcome]], str]


class SubmitService:
    """Everything by which a caller makes new tasks."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        publisher: Publisher,
        doorman: Doorman,
        *,
        now: Callable[[], datetime],
        room: int = DEFAULT_ROOM,
    ) -> None:
        """Take what tasks are made from; nothing is started.

        Args:
            ledger: Where tasks are kept.
            catalogue: What may be submitted.
            publisher: Rings for what is ready.
            doorman: Knows who stands behind a token or a key.
            now: What time it is.
            room: How many submitted tasks may wait to be written.
        """
        self._ledger = ledger
        self._catalogue = catalogue
        self._checking = Checking(catalogue, now=now)
        self._accepting = Accepting(ledger, publisher, doorman, Singles(self._checking), room=room)

    def close(self) -> None:
        """Take in nothing more, and return when all that was taken in is written and rung for."""
        self._accepting.close()

    def submit(
        self, request: SubmitRequest, *, by: Caller, task_id: TaskId | None = None
    ) -> TaskReport:
        """Accept a task: when this returns, it is committed and will run.

        Args:
            request: What shall be run.
            by: Who asks.
            task_id: The task's id where the same request may come twice: the second finds the
                first one's task. None makes a new one.

        Raises:
            NotPermittedError: The caller may not submit.
            TaskNameNotFoundError: No task function has this name, or not for this caller.
            InvalidArgumentsError: The arguments do not fit it.
            InvalidOptionError: An option is out of bounds.
            UnavailableError: Nothing was accepted: the ledger is away, or too much waits.
        """
        accepted = self.submit_soon(request, by=by, task_id=task_id).result()
        return report_at_first(accepted.outcomes)

    def problems_with(self, request: SubmitRequest) -> tuple[FieldProblem, ...]:
        """Return what is wrong with the arguments of a request that is not to be submitted."""
        checked = self._checking.check(request)
        return checked.problems if isinstance(checked, InvalidArgumentsError) else ()

    def submit_soon(
        self,
        request: SubmitRequest,
        *,
        by: Caller | Bearer,
        task_id: TaskId | None = None,
        once: Once | None = None,
    ) -> Future[Accepted]:
        """Have a task accepted together with others that are submitted at the same time.

        Args:
            request: What shall be run.
            by: Who asks; a token or a key is looked up on the way.
            task_id: As `submit` takes it.
            once: How the request is known again if it comes a second time.

        Returns:
            What became of it, once that is known; or what `submit` raises.

        Raises:
            AcceptQueueFullError: Too much waits already.
        """
        its_id = task_id or new_task_id()
        weight = weight_of(request.size_bytes)
        if once is None:
            return self._accepting.put(by, Single(request, its_id), weight=weight)
        checked = self._checking.check(request)

        def make(caller: Caller) -> Submission:
            caller.require(Scope.SUBMIT)
            if not caller.knows(request.name):
                raise TaskNameNotFoundError(request.name)
            # What is refused now, for a moment that has passed, may have been accepted before.
            return _submission([wanted_of(checked, request.name, caller, its_id)], once, caller)

        return self._accepting.put(by, make, weight=weight)

    def submit_batch_soon(
        self,
        requests: Sequence[SubmitRequest | InvalidRequestError],
        *,
        by: Caller | Bearer,
        once: Once | None = None,
        is_atomic: bool = False,
    ) -> Future[Accepted]:
        """Have many tasks accepted in one commit.

        Args:
            requests: What shall be run; an error stands for what could not even be read.
            by: Who asks; a token or a key is looked up on the way.
            once: How the request is known again if it comes a second time.
            is_atomic: All of them or none.

        Returns:
            What became of each, in order, once that is known; also of those that were refused.
            InvalidBatchError when it is all or nothing and one is bad.

        Raises:
            AcceptQueueFullError: Too much waits already.
        """
        checked = self._checking.check_many(requests)
        names = [each.name if isinstance(each, SubmitRequest) else "" for each in requests]

        def make(caller: Caller) -> Submission:
            caller.require(Scope.SUBMIT)
            likes = Likes()
            wanted = [
                likes.wanted_of(each, name, caller, new_task_id())
                for each, name in zip(checked, names, strict=True)
            ]
            if is_atomic and any(isinstance(each, CeleriacError) for each in wanted):
                if once is None:
                    raise invalid_batch(wanted)
                # As above: none of it is put in, unless all of it was.
                wanted = [each if isinstance(each, CeleriacError) else _LEFT_OUT for each in wanted]
            return _submission(wanted, once, caller, is_atomic=is_atomic)

        return self._accepting.put(by, make, weight=weight_of(*map(_size_of, checked)))

    def retry_task(
        self, task_id: TaskId, *, by: Caller, changes: dict[str, Json], once: Once | None = None
    ) -> Accepted:
        """Run a task that has ended again, as a new task of whoever asks.

        Args:
            task_id: The task that ended.
            by: Who asks.
            changes: Named arguments that shall be others; the rest stays as it was.
            once: How the request is known again if it comes a second time.

        Raises:
            NotPermittedError: The caller may not submit.
            TaskNotFoundError: There is none, or it is somebody else's.
            TaskNotFinalError: It has not ended.
            TaskNameNotFoundError: No task function has its name any more.
            InvalidArgumentsError: The changed arguments do not fit.
            InvalidOptionError: Its arguments cannot be changed by name.
            UnavailableError: Nothing was accepted: the ledger is away, or too much waits.
        """
        by.require(Scope.SUBMIT)
        task = visible_task(self._ledger.tasks, task_id, by=by)
        if not task.state.is_final:
            raise TaskNotFinalError(task_id, task.state.value)
        self._catalogue.describe(task.name)
        arguments = task.arguments
        if changes:
            arguments = self._catalogue.validate(
                task.name,
                changed_arguments(arguments, changes),
                # What the caller may see may be run again, files and all.
                files=find_file_ids(arguments.text),
            )
        again = WantedTask(task=task_again(task, new_task_id(), arguments, submitted_by=by.name))
        return self._accepting.put(
            by,
            lambda _: _submission([again], once, by),
            weight=weight_of(len(arguments.text)),
        ).result()


def _size_of(checked: Checked | Alike | CeleriacError) -> int:
    return 0 if isinstance(checked, CeleriacError) else len(checked.arguments.text)


def _submission(
    wanted: Sequence[Wanted | CeleriacError],
    once: Once | None,
    caller: Caller,
    *,
    is_atomic: bool = False,
) -> Submission:
    if once is None:
        return Submission(tasks=wanted, is_atomic=is_atomic)
    return Submission(
        tasks=wanted,
        once=reserve_key(once.key, once.fingerprint, by=caller),
        to_answer=once.to_answer,
        is_atomic=is_atomic,
    )
