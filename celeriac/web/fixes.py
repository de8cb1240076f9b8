"""What helps, over HTTP: for each error that says nothing itself, the call to make next.

`cli/fixes.py` says it for the terminal and `dashboard/fixes.py` for the pages. An error that knows
better what helps, since it knows the case, has a `fix` of its own.
"""

from __future__ import annotations

from celeriac.errors import (
    CeleriacError,
    FileNotKeptError,
    InvalidArgumentsError,
    InvalidOptionError,
    KeyNotFoundError,
    NoResultError,
    NotAuthenticatedError,
    NotPermittedError,
    QueueNotFoundError,
    RateLimitedError,
    TaskAlreadyFinalError,
    TaskIdTakenError,
    TaskNotFinalError,
    TaskNotFoundError,
    UnavailableError,
    UserExistsError,
    UserNotFoundError,
    WeakPasswordError,
)
from celeriac.web.refusals import (
    BodyTooLargeError,
    BrokenBodyError,
    BrokenHeaderError,
    InvalidBodyError,
    RangeError,
)

DESCRIBED = "GET /openapi.json says what each path takes"
NOWHERE = "GET /openapi.json lists every path; the pages for people begin at /ui"
INTERNAL = "send it again; if it fails again, whoever runs the service finds why in its log"

# In braces: a fact of the error. The first class that fits counts.
_FIXES: tuple[tuple[type[CeleriacError], str], ...] = (
    (InvalidArgumentsError, "GET /task-types/{name} says what it takes"),
    (InvalidOptionError, DESCRIBED),
    (InvalidBodyError, DESCRIBED),
    (WeakPasswordError, "take a longer one: four random words are easy to keep in mind"),
    (BrokenHeaderError, "correct the header {header}, or leave it out"),
    (BrokenBodyError, "send {what}, whole and in UTF-8, or say in Content-Type what it is"),
    (
        BodyTooLargeError,
        "send less at a time; whoever runs the service raises the limit with "
        "CELERIAC_MAX_BODY_BYTES, CELERIAC_MAX_BATCH_BYTES or CELERIAC_MAX_UPLOAD_BYTES",
    ),
    (RangeError, "ask for a part that begins before byte {size_bytes}, or for the whole"),
    (TaskNotFoundError, "GET /tasks lists those you may see"),
    (KeyNotFoundError, "GET /keys lists yours"),
    (QueueNotFoundError, "GET /queues lists those there are"),
    (FileNotKeptError, "GET the task names its files; submit it again where one is gone"),
    (UserNotFoundError, "`celeriac user list` shows who there is"),
    (TaskAlreadyFinalError, "POST /tasks/{task_id}/retry runs it again, as a new task"),
    (TaskNotFinalError, "GET /tasks/{task_id} with Prefer: wait=60 waits for its end"),
    (NoResultError, "GET /tasks/{task_id} says how it stands"),
    (TaskIdTakenError, "submit it with another id"),
    (UserExistsError, "take another name"),
    (
        NotAuthenticatedError,
        "POST /token gives a token, the page First steps an API key; "
        "send either as Authorization: Bearer TOKEN",
    ),
    (NotPermittedError, "ask an admin for a key, or for a role, with the right {scope}"),
    (RateLimitedError, "wait as many seconds as Retry-After says; RateLimit tells what is left"),
    (
        UnavailableError,
        "send it again after as many seconds as Retry-After says; with the same Idempotency-Key "
        "nothing is done twice",
    ),
)


def fix_for(error: CeleriacError) -> str:
    """Return what helps a program's author; empty when we know nothing."""
    if error.fix:
        return error.fix
    text = next((text for kind, text in _FIXES if isinstance(error, kind)), "")
    return text.format_map(vars(error))


def fix_for_method(allowed: list[str]) -> str:
    """Return what helps whoever used a method that a path does not take."""
    return f"send it as {' or '.join(allowed)}"
