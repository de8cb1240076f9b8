"""What a page says of a refusal: what it is, what helps, and where to go on. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    CommitInDoubtError,
    ConflictError,
    FileNotKeptError,
    InvalidRequestError,
    NotPermittedError,
    RateLimitedError,
    TaskNotFoundError,
    UnavailableError,
)
from celeriac.web.dashboard.signing_in import ACT, FIRST_STEPS, FORMS, HOME, SIGN_IN
from celeriac.web.dashboard.texts import length
from celeriac.web.refusals import BodyTooLargeError, RequestRefusedError

NOWHERE = "see whether the address is written right, or go on from your tasks"

# The first class that fits counts.
_FIXES: tuple[tuple[type[CeleriacError], str], ...] = (
    (TaskNotFoundError, "see whether the id is whole; a task of somebody else's is not shown"),
    (FileNotKeptError, "run the task again with the file"),
    (NotPermittedError, "ask an admin for a role that may do this"),
    (RateLimitedError, "wait that long, then try it again; nothing was done"),
    (CommitInDoubtError, "look among your tasks whether it is there before you send it again"),
    (
        BrokerUnavailableError,
        "try it again in a moment; if it stays away, `celeriac doctor` says why",
    ),
    (
        UnavailableError,
        "try it again in a moment, nothing was done; if it stays away, `celeriac doctor` says why",
    ),
    (
        BodyTooLargeError,
        "choose smaller files, or fewer; Back in your browser leads to all that you typed",
    ),
    (ConflictError, "look at it once more: its page says how it stands now"),
    (RequestRefusedError, "open the page again and send it from there"),
    (InvalidRequestError, "begin again: this address is old, or was changed"),
)


@dataclass(frozen=True, slots=True)
class WayOn:
    """A link away from a refusal."""

    url: str
    text: str


def page_detail(error: CeleriacError) -> str:
    """Return a refusal in the units of people."""
    if isinstance(error, RateLimitedError):
        return f"Too many requests; try again in {length(error.retry_after)}"
    if isinstance(error, BodyTooLargeError):
        most = f"{error.most_bytes / 2**20:.3g} MiB"
        return f"More was sent than the {most} that are taken here; nothing was done"
    return str(error)


def page_fix(error: CeleriacError) -> str:
    """Return what helps somebody who looks at a page; empty when we know nothing."""
    # These speak of headers, which nobody types into a page.
    if error.fix and not isinstance(error, CommitInDoubtError | RequestRefusedError):
        return error.fix
    return next((text for kind, text in _FIXES if isinstance(error, kind)), "")


def way_on(method: str, path: str, query: str, *, status: int, is_signed_in: bool) -> WayOn:
    """Return where one goes from a refusal of a request.

    Args:
        method: The request's.
        path: Its path, quoted.
        query: What followed it.
        status: The refusal's.
        is_signed_in: Whether it is known who asked.
    """
    act = ACT.fullmatch(path)
    if act and status != 404:
        return WayOn(act["page"], "Back to the task")
    if method == "POST" and path.startswith((SIGN_IN, "/start/")):
        return WayOn(path, "Back to the form")
    if method == "POST" and path.startswith(FORMS):
        # What was typed is the browser's alone, which its Back leads to.
        return WayOn(path, "Begin again")
    if method == "POST" and path.startswith(FIRST_STEPS):
        return WayOn(FIRST_STEPS, "Back to the first steps")
    if method == "GET" and status in (429, 502, 503):
        return WayOn(f"{path}?{query}" if query else path, "Try again")
    return WayOn(HOME, "To your tasks" if is_signed_in else "To the sign-in page")
