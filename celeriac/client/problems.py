"""A refusal that came over HTTP, as the error that the service raised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celeriac import errors
from celeriac.errors import (
    AccessError,
    CeleriacError,
    ConflictError,
    FieldProblem,
    InvalidRequestError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    RateLimitedError,
    UnavailableError,
)

Json = Any

_SCOPE = re.compile(r'scope="([^"]*)"')
# What a code that this client does not know belongs to.
_FAMILIES: dict[int, type[CeleriacError]] = {
    400: InvalidRequestError,
    401: NotAuthenticatedError,
    403: AccessError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitedError,
    503: UnavailableError,
}


def error_from_answer(
    status: int,
    headers: Mapping[str, str],
    text: str,
    *,
    facts: Mapping[str, str],
    fix: str = "",
) -> CeleriacError:
    """Return the error behind an answer: of the class that has its code.

    Args:
        status: The HTTP status.
        headers: The answer's headers, by their names in lower case.
        text: Its body; anything but a problem (a proxy's page) becomes its family's error.
        facts: What was asked about, which the error keeps as attributes.
        fix: What helps here, where we know better than the service; empty takes its own.
    """
    problem = _problem(text)
    code = str(problem.get("code", ""))
    kind = _CODES.get(code) or _FAMILIES.get(status, CeleriacError)
    # Not by its own facts: the sentence is the service's, and says more than we know.
    error = kind.__new__(kind)
    Exception.__init__(error, str(problem.get("detail") or f"the service answered {status}"))
    known = {
        **facts,
        "fix": fix or str(problem.get("fix", "")),
        "problems": _field_problems(problem),
        "status": status,
    }
    if code and kind.code != code:
        known["code"] = code
    if isinstance(error, NotPermittedError):
        found = _SCOPE.search(headers.get("www-authenticate", ""))
        known["scope"] = found[1] if found else ""
    pause = retry_after(headers)
    if isinstance(error, RateLimitedError) or pause is not None:
        known["retry_after"] = pause or timedelta(seconds=1)
    error.__dict__.update(known)
    return with_note(error)


def is_problem(text: str) -> bool:
    """Return whether the body of an answer is a refusal of ours."""
    return "code" in _problem(text)


def with_note(error: CeleriacError) -> CeleriacError:
    """Return an error that shows what helps against it, too, where nobody catches it."""
    if error.fix:
        error.add_note(f"fix: {error.fix}")
    return error


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return the pause that an answer asks for; None when it asks for none in seconds."""
    text = headers.get("retry-after", "")
    return timedelta(seconds=int(text)) if text.isascii() and text.isdigit() else None


def _problem(text: str) -> dict[str, Json]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _field_problems(problem: Mapping[str, Json]) -> tuple[FieldProblem, ...]:
    listed = problem.get("errors") or ()
    return tuple(FieldProblem(str(each["pointer"]), str(each["detail"])) for each in listed)


def _by_code() -> dict[str, type[CeleriacError]]:
    own = [each for each in vars(errors).values() if isinstance(each, type)]
    return {each.code: each for each in own if issubclass(each, CeleriacError)}


_CODES = _by_code()
