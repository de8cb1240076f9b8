"""The exception that a task which ended without a result gives to those who ask for it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskError


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
