"""Why a task ended without a result: as the ledger keeps it, and as whoever asks gets it back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from celeriac import errors
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskError
from celeriac.engine import codec
from celeriac.engine.typed_task import Fail


class ExceptionFacts(NamedTuple):
    """An exception in the form in which Celery's backends write it down."""

    type: str
    module: str
    arguments: list[Any]


# Failures that no exception of the task's own caused, by the class Celery raises for the like.
_OF_KIND = {
    ErrorKind.WORKER_LOST: ("WorkerLostError", "billiard.exceptions"),
    ErrorKind.INDETERMINATE: ("WorkerLostError", "billiard.exceptions"),
    ErrorKind.TIMEOUT: ("TimeLimitExceeded", "billiard.exceptions"),
    ErrorKind.REJECTED: ("Reject", "celery.exceptions"),
}


def kept_error(exc: BaseException, shown: Mapping[str, Any], traceback: Any) -> TaskError:
    """Return an exception as the ledger keeps it.

    Args:
        exc: What a task raised.
        shown: The same, as Celery's backends write it down.
        traceback: Where it was raised; a false value where nobody knows.
    """
    is_expected = isinstance(exc, Fail | errors.InvalidArgumentsError)
    kind = ErrorKind.EXCEPTION
    if isinstance(exc, SoftTimeLimitExceeded | TimeLimitExceeded):
        kind = ErrorKind.TIMEOUT
    elif isinstance(exc, errors.InvalidArgumentsError):
        kind = ErrorKind.REJECTED
    return TaskError(
        kind=kind,
        type=codec.storable(shown["exc_type"]),
        module=codec.storable(shown["exc_module"] or ""),
        message=codec.storable(_sentence(exc)),
        arguments=json.dumps(shown["exc_message"], default=repr),
        # An expected failure is told in one line.
        traceback=codec.storable(str(traceback)) if traceback and not is_expected else "",
    )


def exception_facts(state: TaskState, error: TaskError | None) -> ExceptionFacts:
    """Return the exception for a task that is final and did not complete."""
    if state in (TaskState.CANCELLED, TaskState.EXPIRED):
        word = "revoked" if state is TaskState.CANCELLED else "expired"
        return ExceptionFacts("TaskRevokedError", "celery.exceptions", [word])
    if error is None:
        return ExceptionFacts("Exception", "builtins", [str(state)])
    if error.type:
        arguments = json.loads(error.arguments) or [error.message]
        return ExceptionFacts(error.type, error.module or "builtins", arguments)
    type_, module = _OF_KIND.get(error.kind, ("Exception", "builtins"))
    return ExceptionFacts(type_, module, [error.message])


def rebuild(facts: ExceptionFacts, build: Callable[[Mapping[str, Any]], Any]) -> BaseException:
    """Return the exception that a caller gets.

    Args:
        facts: What is known of it.
        build: Celery's builder. It looks only into modules that are imported already, and builds
            only exceptions.
    """
    ours = getattr(errors, facts.type, None) if facts.module == errors.__name__ else None
    if isinstance(ours, type) and issubclass(ours, errors.CeleriacError):
        # Our errors are made from facts; what was kept is the sentence.
        return ours.__new__(ours, *facts.arguments)
    rebuilt: BaseException = build(
        {
            "exc_type": facts.type,
            "exc_module": facts.module,
            "exc_message": facts.arguments,
        }
    )
    return rebuilt


def _sentence(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        # A user's code like any other, and its task has failed already.
        return f"{type(exc).__qualname__}, which cannot be shown"
