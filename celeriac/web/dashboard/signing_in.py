"""The page on which one signs in, the way to it, and the way back from there.

Nobody loses there what was typed or meant before: a form that comes while its session is over is
kept for its page, and what was to be done with a task is told on the task's page. It is never done
by itself: between the click and the password many a thing may have changed, the person too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from celeriac.errors import CeleriacError, UnavailableError
from celeriac.web.dashboard.chosen_files import read_typed
from celeriac.web.dashboard.rendering import render
from celeriac.web.dashboard.visits import FORM_TOKEN, Visit, is_from_elsewhere
from celeriac.web.parts import parts_of

SIGN_IN = "/ui/sign-in"
HOME = "/ui/tasks"
FORMS = "/ui/submit/"
FIRST_STEPS = "/ui/first-steps"
# What a task's page is asked to tell: the act that was not done.
NOT_DONE = "not_done"
# Where the buttons of a task's page lead.
ACT = re.compile(r"(?P<page>/ui/tasks/[^/]+)/(?P<act>cancel|again|instead)")

_WAS_SIGNED_OUT = (
    "You were signed out, and nothing was submitted. Sign in, and what you typed is there again."
)
_ACTS = {
    "cancel": "You were signed out, and the task was not cancelled. Sign in to go back to it.",
    "again": "You were signed out, and nothing was run again. Sign in to go back to the task.",
    "instead": "You were signed out, and the task still waits. Sign in to go back to it.",
}


async def answer_signed_out(request: Request) -> Response:
    """Return the sign-in page, or the way to it, with what is to be kept of a request."""
    path = request.url.path
    if request.method == "POST" and not is_from_elsewhere(request):
        act = ACT.fullmatch(path)
        if act:
            wanted = f"{quote(act['page'])}?{NOT_DONE}={act['act']}"
            return await sign_in_page(request, problem=_ACTS[act["act"]], status=401, wanted=wanted)
        typed = await _typed(request) if path.startswith(FORMS) else {}
        if typed:
            return await sign_in_page(
                request,
                problem=_WAS_SIGNED_OUT,
                status=401,
                wanted=local_path(quote(path)),
                kept=typed,
            )
    return to_sign_in(request)


async def _typed(request: Request) -> dict[str, list[str]]:
    try:
        typed = await read_typed(request)
    except CeleriacError:
        return {}
    typed.pop(FORM_TOKEN, None)
    return typed


def to_sign_in(request: Request) -> Response:
    """Return the way to the sign-in page, and from there back to a page that was asked for."""
    path = request.url.path
    url = SIGN_IN
    # A task's form has the same address as its page, and so has a key that was asked for.
    is_page = request.method == "GET" or path.startswith((FORMS, FIRST_STEPS))
    if is_page and (request.url.query or path not in ("/ui", HOME)):
        wanted = quote(path) + (f"?{request.url.query}" if request.url.query else "")
        url = f"{SIGN_IN}?{urlencode({'next': wanted})}"
    return to_page(url)


async def sign_in_page(
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
        is_first_start=await run_in_threadpool(_is_first_start, request),
    )


def _is_first_start(request: Request) -> bool:
    try:
        return not parts_of(request).start_links.has_admin()
    except UnavailableError:
        return False


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
