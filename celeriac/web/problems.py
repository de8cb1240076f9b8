"""Every refusal and failure as `application/problem+json` (RFC 9457).

The one place where errors meet HTTP statuses. What a caller reads here never names a library, a
file, a host or a statement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from celeriac.errors import (
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
from celeriac.web.fixes import DESCRIBED, INTERNAL, NOWHERE, fix_for, fix_for_method
from celeriac.web.methods import allowed_methods
from celeriac.web.refusals import (
    BodyTooLargeError,
    FlowerBrokenError,
    FlowerRefusedError,
    FormRefusedError,
    MediaTypeError,
    RangeError,
    RequestRefusedError,
)
from celeriac.wording import as_typed_here

MEDIA_TYPE = "application/problem+json"

# The first class that fits decides.
_STATUSES: tuple[tuple[type[CeleriacError], int], ...] = (
    (NotAuthenticatedError, 401),
    (NotPermittedError, 403),
    (FormRefusedError, 403),
    (FlowerRefusedError, 403),
    (RateLimitedError, 429),
    (BodyTooLargeError, 413),
    (MediaTypeError, 415),
    (RangeError, 416),
    (RequestRefusedError, 400),
    (InvalidRequestError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (FlowerBrokenError, 502),
    (UnavailableError, 503),
)
# What the web itself says, without an error of ours behind it.
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_DETAILS = {404: "there is nothing at this path", 405: "this path does not take this method"}
# As RFC 9110 names them; Python 3.11 still has the names of before.
_PHRASES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
RETRY_AFTER_SECONDS = 2
_REALM = 'Bearer realm="celeriac"'


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def add_problem_handlers(app: FastAPI) -> None:
    """Have every refusal of an app answered as a problem."""
    app.exception_handler(CeleriacError)(_on_error)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid_request)


async def answer_to(request: Request, error: Exception) -> Response | None:
    """Return an error as a problem; None when nobody may cause it over HTTP."""
    if isinstance(error, CeleriacError):
        return None if status_of(error) == 500 else await _on_error(request, error)
    if isinstance(error, HTTPException):
        return await _on_http_exception(request, error)
    if isinstance(error, RequestValidationError):
        return await _on_invalid_request(request, error)
    return None


def status_of(error: CeleriacError) -> int:
    """Return the HTTP status of an error; 500 when nobody may cause it over HTTP."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem(
    request: Request,
    status: int,
    *,
    code: str,
    detail: str,
    fix: str = "",
    errors: Iterable[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return one problem as a response."""
    body = problem_body(
        status, code=code, detail=detail, instance=_instance(request), fix=fix, errors=errors
    )
    # ASCII, since a detail may repeat what a caller sent, whatever that was.
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


def problem_body(
    status: int,
    *,
    code: str,
    detail: str,
    instance: str,
    fix: str = "",
    errors: Iterable[FieldProblem] = (),
) -> dict[str, Any]:
    """Return one problem as JSON."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _phrase(status),
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
    }
    listed = [{"pointer": each.pointer, "detail": each.detail} for each in errors]
    if listed:
        body["errors"] = listed
    if fix:
        body["fix"] = as_typed_here(fix)
    return body


def internal_problem(request: Request) -> Response:
    """Return the answer to a failure of ours, which tells nothing about it."""
    detail = "the service failed; it was logged"
    return problem(request, 500, code="internal", detail=detail, fix=INTERNAL)


async def _on_error(request: Request, error: CeleriacError) -> Response:
    status = status_of(error)
    if status == 500:
        # Not meant for callers: the shell logs it and answers.
        raise error
    return problem(
        request,
        status,
        code=error.code,
        detail=str(error),
        fix=fix_for(error),
        errors=getattr(error, "problems", ()),
        headers=headers_of(request, error),
    )


def headers_of(request: Request, error: CeleriacError) -> dict[str, str]:
    """Return the headers that go with a refusal, in whatever form it is told."""
    status = status_of(error)
    if isinstance(error, NotPermittedError):
        challenge = f'{_REALM}, error="insufficient_scope", scope="{error.scope}"'
        return {"WWW-Authenticate": challenge}
    if isinstance(error, RangeError):
        return {"Content-Range": f"bytes */{error.size_bytes}"}
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(math.ceil(error.retry_after.total_seconds()))}
    if status == 401:
        is_given = "authorization" in request.headers
        return {"WWW-Authenticate": _REALM + (', error="invalid_token"' if is_given else "")}
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    headers = dict(error.headers or {})
    fix = NOWHERE if status == 404 else ""
    if status == 405:
        allowed = allowed_methods(request)
        headers["Allow"] = ", ".join(allowed)
        fix = fix_for_method(allowed)
    return problem(
        request,
        status,
        code=_CODES.get(status, "refused"),
        detail=_DETAILS.get(status, _phrase(status)),
        fix=fix,
        headers=headers,
    )


async def _on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    problems = field_problems(error.errors())
    listed = "; ".join(f"{each.pointer.lstrip('/')}: {each.detail}" for each in problems)
    return problem(
        request, 422, code="invalid_option", detail=listed, fix=DESCRIBED, errors=problems
    )


def field_problems(errors: Sequence[Mapping[str, Any]]) -> tuple[FieldProblem, ...]:
    """Return what is wrong with each parameter, in words that name no library."""
    found: dict[FieldProblem, None] = {}
    for error in errors:
        # A parameter that may be left out could also be nothing, which no query string can say.
        if error["type"] == "none_required":
            continue
        # The first part says where the parameter stood (query, path, header), the next its name;
        # then come its place in a list and names of the validator's own.
        _, name, *rest = error["loc"]
        place = to_pointer(name, *(step for step in rest if isinstance(step, int)))
        is_unknown = error["type"] == "extra_forbidden"
        text = str(error["msg"]).removeprefix("Value error, ")
        detail = "there is no such parameter" if is_unknown else text
        found[FieldProblem(pointer=place, detail=detail)] = None
    return tuple(found)


def to_pointer(*steps: str | int) -> str:
    """Return a JSON pointer (RFC 6901) from its steps."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def _instance(request: Request) -> str:
    raw = request.scope.get("raw_path") or request.url.path.encode()
    # A URI reference must be ASCII; a client that sent other bytes gets them shown as text.
    return bytes(raw).split(b"?", 1)[0].decode("ascii", errors="backslashreplace")
