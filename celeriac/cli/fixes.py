"""What helps at the terminal: for each error that says nothing itself, a command."""

from __future__ import annotations

from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    FilesUnavailableError,
    InvalidArgumentsError,
    InvalidOptionError,
    KeyNotFoundError,
    LedgerUnavailableError,
    NoResultError,
    NotAuthenticatedError,
    NotPermittedError,
    QueueNotFoundError,
    RateLimitedError,
    TaskAlreadyFinalError,
    TaskNameNotFoundError,
    TaskNotFinalError,
    TaskNotFoundError,
    UserExistsError,
    UserNotFoundError,
    WaitTimeoutError,
    WeakPasswordError,
)

# In braces: a fact of the error. The first class that fits counts.
_FIXES: tuple[tuple[type[CeleriacError], str], ...] = (
    (InvalidArgumentsError, "celeriac tasks describe {name} says what it takes"),
    (InvalidOptionError, "--help of this command says what may be given"),
    (TaskNotFoundError, "celeriac tasks list shows those that are kept"),
    (UserNotFoundError, "celeriac user list shows who there is"),
    (KeyNotFoundError, "celeriac key list --user NAME shows those there are"),
    (QueueNotFoundError, "celeriac queues list shows those there are"),
    (TaskAlreadyFinalError, "celeriac tasks retry {task_id} runs it again, as a new task"),
    (TaskNotFinalError, "celeriac wait {task_id}, or celeriac tasks cancel {task_id}"),
    (NoResultError, "celeriac get {task_id} shows how it stands"),
    (UserExistsError, "celeriac user set-password {name} gives another password"),
    (NotPermittedError, "celeriac key create LABEL --user NAME --scope {scope} makes such a key"),
    (
        NotAuthenticatedError,
        "give another with --key or CELERIAC_KEY; "
        "celeriac key create LABEL --user NAME makes one where the service runs",
    ),
    (LedgerUnavailableError, "celeriac doctor, where the service runs, looks at it"),
    (RateLimitedError, "wait that long, and try again"),
    (BrokerUnavailableError, "celeriac doctor, where the service runs, looks at it"),
    (FilesUnavailableError, "whoever runs the service looks at the room on its disk"),
    (WaitTimeoutError, "celeriac wait {task_id} waits on"),
)


def fix_for(error: CeleriacError) -> str:
    """Return what helps somebody who types commands; empty when we know nothing."""
    # The service has no such option; only whoever runs the machine may decide this.
    if isinstance(error, WeakPasswordError):
        return "take a better one, or add --allow-weak for a walk-through on a laptop"
    if isinstance(error, TaskNameNotFoundError):
        return error.fix.replace("GET /task-types", "celeriac task-types")
    # What came from the service tells of paths and headers, which nobody types here: where we know
    # the very error, our own words go first.
    is_known = any(type(error) is kind for kind, _ in _FIXES)
    if error.fix and not is_known:
        return error.fix
    text = next((text for kind, text in _FIXES if isinstance(error, kind)), "")
    return text.format_map(_Facts(vars(error)))


class _Facts(dict[str, object]):
    """The facts of an error; one that came over HTTP need not have all."""

    def __missing__(self, key: str) -> str:
        return key.removeprefix("task_").upper()
