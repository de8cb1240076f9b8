"""What stands before every page: who looks, whether the form is ours, and refusals as pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from celeriac.errors import CeleriacError, NotAuthenticatedError, RateLimitedError
from celeriac.service.callers import Caller
from celeriac.web.auth import address_key, count
from celeriac.web.bodies import read_page_form
from celeriac.web.dashboard.rendering import render
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

SIGN_IN = "/ui/sign-in"
HOME = "/ui/tasks"
FORMS = "/ui/submit/"
_WAS_SIGNED_OUT = (
    "You were signed out, and nothing was submitted. Sign in, and what you typed is there again."
)
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


class PageRoute(APIRoute):
    """A route whose refusals are pages, and whose missing session leads to the sign-in page."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler with refusals shown."""
        handle = super().get_route_handler()

        async def show(request: Request) -> Response:
            try:
                return await handle(request)
            except NotAuthenticatedError:
                return await keep_form(request) or to_sign_in(request)
            except (CeleriacError, HTTPException) as error:
                return page_of(request, error)

        return show


def page_of(request: Request, error: CeleriacError | HTTPException) -> Response:
    """Return a refusal as a page, or the way to the sign-in page when nobody is signed in.

    Raises:
        CeleriacError: It is none that a caller may cause.
    """
    if isinstance(error, HTTPException):
        return problem_page(request, error.status_code, str(error.detail))
    if isinstance(error, NotAuthenticatedError):
        return to_sign_in(request)
    status = status_of(error)
    if status == 500:
        raise error
    return problem_page(request, status, str(error), error=error)


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
    return render(
        request,
        visit,
        "problem.html",
        status=status,
        headers=headers,
        title=_TITLES.get(status, "This did not work"),
        detail=detail,
        fix=as_typed_here(error.fix) if error else "",
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
    with suppress(CeleriacError):
        await signed_in(request, await visiting(request))
    return problem_page(request, 404, "No page has this address")


def to_sign_in(request: Request) -> Response:
    """Return the way to the sign-in page, and from there back to a page that was asked for."""
    path = request.url.path
    url = SIGN_IN
    # A task's form has the same address as its page.
    is_page = request.method == "GET" or path.startswith(FORMS)
    if is_page and path not in ("/ui", HOME):
        wanted = quote(path) + (f"?{request.url.query}" if request.url.query else "")
        url = f"{SIGN_IN}?{urlencode({'next': wanted})}"
    return to_page(url)


def sign_in_page(
    request: Request,
    *,
    problem: str = "",
    status: int = 200,
    name: str = "",
    wanted: str = "",
    kept: Mapping[str, list[str]] | None = None,
) -> Response:
    """Return the page on which one signs in.

    Args:
        request: What it answers.
        problem: Why it is shown again, a sentence.
        status: Its HTTP status.
        name: The name that was typed.
        wanted: Where one goes from there.
        kept: What was typed into a form of that page, which is sent there, too.
    """
    visit = getattr(request.state, "visit", None) or Visit.of(request)
    return render(
        request,
        visit,
        "sign_in.html",
        status=status,
        name=name,
        wanted=wanted,
        problem=problem,
        kept=kept or {},
    )


async def keep_form(request: Request) -> Response | None:
    """Return the sign-in page with what was typed into a task's form while the session ended.

    None when there is nothing to keep: it is another page, comes from elsewhere or brings files.
    """
    path = request.url.path
    if request.method != "POST" or not path.startswith(FORMS) or is_from_elsewhere(request):
        return None
    try:
        typed = await read_page_form(request)
    except CeleriacError:
        return None
    typed.pop(FORM_TOKEN, None)
    if not typed:
        return None
    return sign_in_page(
        request, problem=_WAS_SIGNED_OUT, status=401, wanted=local_path(quote(path)), kept=typed
    )


def to_page(url: str, visit: Visit | None = None, *, status: int = 303) -> Response:
    """Return the way to another page, after a form or in place of this one."""
    response = RedirectResponse(url, status)
    if visit is not None:
        visit.keep(response)
    return response


def local_path(text: str) -> str:
    """Return where a sign-in may lead: a page of ours, whatever was asked for."""
    # `//host` and `/\\host` are other sites to a browser.
    is_ours = text.startswith(("/ui/", "/flower/")) and "\\" not in text and text.isprintable()
    return text if is_ours and not text.startswith(SIGN_IN) else HOME


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
