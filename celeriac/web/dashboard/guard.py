"""What stands before every page: who looks, whether the form is ours, and refusals as pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from celeriac.errors import (
    CeleriacError,
    NotAuthenticatedError,
    PasswordLinkNotFoundError,
    RateLimitedError,
    StartLinkNotFoundError,
    StartLinkUsedError,
)
from celeriac.service.callers import Caller
from celeriac.web.auth import address_key, count
from celeriac.web.bodies import read_page_form
from celeriac.web.dashboard.fixes import NOWHERE, page_detail, page_fix, way_on
from celeriac.web.dashboard.rendering import render
from celeriac.web.dashboard.signing_in import answer_signed_out, to_page, to_sign_in
from celeriac.web.dashboard.visits import (
    FORM_TOKEN,
    SESSION_COOKIE,
    Visit,
    is_from_elsewhere,
    read_cookie,
)
from celeriac.web.parts import parts_of
from celeriac.web.problems import RETRY_AFTER_SECONDS, answer_to, status_of
from celeriac.web.refusals import FormRefusedError
from celeriac.wording import as_typed_here

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_TITLES = {
    400: "This cannot be read",
    403: "This is not allowed",
    404: "There is nothing here",
    409: "This is not possible any more",
    413: "This is too large",
    415: "This cannot be read",
    422: "This makes no sense",
    429: "Too many requests",
    502: "Flower is out of order",
    503: "Away for a moment",
}
# Whoever opens one that was sent to them is at the right place, but too late.
_SPENT_LINKS = (PasswordLinkNotFoundError, StartLinkNotFoundError, StartLinkUsedError)


class PageRoute(APIRoute):
    """A route whose refusals are pages, and whose missing session leads to the sign-in page."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler with refusals shown."""
        handle = super().get_route_handler()

        async def show(request: Request) -> Response:
            try:
                return await handle(request)
            except NotAuthenticatedError:
                return await answer_signed_out(request)
            except (CeleriacError, HTTPException) as error:
                return page_of(request, error)

        return show


def page_of(request: Request, error: CeleriacError | HTTPException) -> Response:
    """Return a refusal as a page, or the way to the sign-in page when nobody is signed in.

    Raises:
        CeleriacError: It is none that a caller may cause.
    """
    if isinstance(error, NotAuthenticatedError):
        return to_sign_in(request)
    status = error.status_code if isinstance(error, HTTPException) else status_of(error)
    elsewhere = without_slash(request) if status == 404 else ""
    if elsewhere:
        return to_page(elsewhere, status=308)
    if isinstance(error, HTTPException):
        return problem_page(request, status, str(error.detail))
    if status == 500:
        raise error
    return problem_page(request, status, page_detail(error), error=error)


def _title_of(error: CeleriacError | None, status: int) -> str:
    if isinstance(error, _SPENT_LINKS):
        return "This link is not good any more"
    return _TITLES.get(status, "This did not work")


def without_slash(request: Request) -> str:
    """Return where a page may be that was asked for with a slash behind it; empty when none was."""
    path: str = request.scope["path"]
    is_asked = request.method in ("GET", "HEAD") and path.endswith("/")
    # What begins so is ours whatever follows: `//host` alone would be another site.
    if not is_asked or not path.startswith(("/ui/", "/start/")):
        return ""
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(path.rstrip("/")) + query


def problem_page(
    request: Request, status: int, detail: str, *, error: CeleriacError | None = None
) -> Response:
    """Return a refusal as a page."""
    visit = getattr(request.state, "visit", None) or Visit.of(request)
    headers = {}
    if isinstance(error, RateLimitedError):
        headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    fix = page_fix(error) if error else NOWHERE if status in (404, 422) else ""
    return render(
        request,
        visit,
        "problem.html",
        status=status,
        headers=headers,
        title=_title_of(error, status),
        detail=detail,
        fix=as_typed_here(fix),
        on=way_on(
            request.method,
            quote(request.url.path),
            request.url.query,
            status=status,
            is_signed_in=visit.caller is not None,
        ),
    )


async def nowhere(request: Request, error: Exception) -> Response:
    """Answer a path that leads nowhere: as a page to a browser, else as a problem.

    Whoever is signed in stays so on it; anything that stands in the way of finding that out is no
    reason for another answer.
    """
    if "text/html" not in request.headers.get("accept", ""):
        answer = await answer_to(request, error)
        if answer is None:
            raise error
        return answer
    elsewhere = without_slash(request)
    if elsewhere:
        return to_page(elsewhere, status=308)
    with suppress(CeleriacError):
        await signed_in(request, await visiting(request))
    return problem_page(request, 404, "No page has this address")


async def visiting(request: Request) -> Visit:
    """Return the visit behind a request, whoever it is.

    Raises:
        RateLimitedError: The address asks too often.
    """
    visit = Visit.of(request)
    # Found there by a refusal's page.
    request.state.visit = visit
    await count(request, parts_of(request).limits.pages, address_key(request))
    return visit


async def signed_in(request: Request, visit: Annotated[Visit, Depends(visiting)]) -> Caller:
    """Return who is signed in.

    Raises:
        NotAuthenticatedError: Nobody is, or not any more.
        RateLimitedError: The user asks too often.
    """
    parts = parts_of(request)
    claims = parts.sessions.read(read_cookie(request, SESSION_COOKIE))
    await count(request, parts.limits.pages, claims.user_name)
    visit.caller = await run_in_threadpool(parts.access.admit, claims)
    return visit.caller


def mark_steps(
    request: Request,
    visit: Annotated[Visit, Depends(visiting)],
    who: Annotated[Caller, Depends(signed_in)],
) -> None:
    """See whether the page shall show the way to the first steps."""
    visit.has_steps_left = parts_of(request).first_steps.has_left(by=who)


async def sent_form(
    request: Request, visit: Annotated[Visit, Depends(visiting)]
) -> dict[str, list[str]]:
    """Return the fields of a form that one of our pages sent.

    Raises:
        FormRefusedError: It comes from elsewhere, or was made for another session.
    """
    if is_from_elsewhere(request):
        raise FormRefusedError
    form = await read_page_form(request)
    if not visit.is_token("".join(form.pop(FORM_TOKEN, []))):
        raise FormRefusedError
    return form


Visiting = Annotated[Visit, Depends(visiting)]
SignedIn = Annotated[Caller, Depends(signed_in)]
SentForm = Annotated[dict[str, list[str]], Depends(sent_form)]
# Of a route whose page leads newcomers to the first steps.
NEWCOMERS = (Depends(mark_steps),)
