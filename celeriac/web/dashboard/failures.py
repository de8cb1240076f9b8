"""What went wrong with a task, attempt by attempt: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from celeriac.core.task import Attempt, TaskError
from celeriac.core.tracebacks import Piece, pieces_of
from celeriac.web.dashboard.texts import Moment, clean, length, moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task, or one attempt, failed."""

    title: str
    message: str
    kind: str
    traceback: str
    # The same once more would fail once more: the function has said so, or never got the arguments.
    is_of_arguments: bool

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The traceback in pieces, of which some are folded away."""
        return pieces_of(self.traceback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt that ended."""

    number: int
    ending: str
    worker: str
    started: Moment
    took: str
    failure: Failure | None


# As the ledger names `celeriac.Fail`, and what a function's hints refuse.
_OF_ARGUMENTS = frozenset(
    {("celeriac.engine.typed_task", "Fail"), ("celeriac.errors", "InvalidArgumentsError")}
)


def failure_of(error: TaskError) -> Failure:
    """Return an error as it is shown."""
    return Failure(
        title=error.type or error.kind.value.replace("_", " "),
        message=clean(error.message),
        kind=error.kind.value,
        traceback=clean(error.traceback),
        is_of_arguments=(error.module, error.type) in _OF_ARGUMENTS,
    )


def attempt_of(attempt: Attempt, *, now: datetime) -> Try:
    """Return an attempt as it is shown."""
    return Try(
        number=attempt.number,
        ending=attempt.ending,
        worker=attempt.worker,
        started=moment(attempt.started_at, now=now),
        took=length(attempt.finished_at - attempt.started_at),
        failure=None if attempt.error is None else failure_of(attempt.error),
    )
