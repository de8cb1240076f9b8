"""The way to Flower: for known callers, as far as they may, and nothing of ours goes along."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from celeriac.core.task import TaskId
from celeriac.core.user import Scope as Right
from celeriac.errors import CeleriacError
from celeriac.service.callers import Caller
from celeriac.web import auth
from celeriac.web.bodies import read_body
from celeriac.web.dashboard import guard
from celeriac.web.flower import own_tasks
from celeriac.web.flower.acts import act_of
from celeriac.web.flower.rules import LIST, Way, changes, task_of, way_of
from celeriac.web.flower.upstream import Answer, Headers, Upstream
from celeriac.web.flower.way_back import with_way_back
from celeriac.web.parts import parts_of
from celeriac.web.problems import headers_of, status_of
from celeriac.web.refusals import FlowerBrokenError, FlowerMissingError, FormRefusedError

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

PREFIX = "/flower"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
# Forms of a few short fields; the table of tasks sends the most, 7 kB.
_MOST_BODY_BYTES = 64 * 1024
# All that is passed on. Neither who is signed in, nor what says where a request comes from: both
# are judged here. What is not named stays behind, whatever a later browser or Flower invents.
_ASKED = (
    *("accept", "accept-language", "content-type", "if-modified-since", "if-none-match"),
    "x-requested-with",
)
_ANSWERED = ("content-encoding", "content-length", "content-type", "etag", "last-modified", "vary")
# The one script that stands in a page of Flower's, by its hash: `var autorefresh = 1;` and `= 0;`.
# Nothing else that stands in a page is run. Styles do stand in its tables.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'"
        " 'sha256-A0YIP5A+DKoseGAUTHRoMPDkKPK5cKzfYH3mjcCKtj8='"
        " 'sha256-Plc72SJ5jJr8U3f1AUIRpRT60gipUj+EwCvnh1JkE68='",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "form-action 'none'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class FlowerRoute(APIRoute):
    """A route that refuses each kind of caller in the form it reads: a page, a line, a problem."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler with refusals told."""
        handle = super().get_route_handler()

        async def tell(request: Request) -> Response:
            try:
                return await handle(request)
            except (CeleriacError, HTTPException) as error:
                if is_program(request):
                    raise
                if "text/html" in request.headers.get("accept", ""):
                    return guard.page_of(request, error)
                return _line(request, error)

        return tell


router = APIRouter(route_class=FlowerRoute)


async def flower_caller(request: Request) -> Caller:
    """Return who asks: somebody who is signed in, or a program of an operator's.

    Raises:
        NotAuthenticatedError: Nobody that we know.
        NotPermittedError: A program that may not operate.
        FormRefusedError: It may change something and does not come from a page of ours.
        RateLimitedError: The address or the caller asks too often.
    """
    if is_program(request):
        who = await auth.signed_in(request, None)
        who.require(Right.OPERATE)
        return who
    who = await guard.signed_in(request, await guard.visiting(request))
    who.require(Right.READ)
    # A browser sends its cookie with whatever another site makes it send.
    if changes(request.method) and not is_from_here(request):
        raise FormRefusedError
    return who


Known = Annotated[Caller, Depends(flower_caller)]


@router.api_route(PREFIX, methods=_METHODS)
async def go_to_flower() -> Response:
    """Lead to Flower's first page."""
    return RedirectResponse(f"{PREFIX}/", 307)


@router.api_route(PREFIX + "/{rest:path}", methods=_METHODS)
async def ask_flower(request: Request, rest: str, who: Known) -> Response:
    """Pass a request on to Flower, as far as the caller may."""
    upstream = parts_of(request).flower
    if upstream is None:
        raise FlowerMissingError
    may_operate = who.sees_all and not who.task_patterns
    way = way_of(
        request.method,
        path_below(request),
        asks_workers="refresh" in request.query_params,
        may_operate=may_operate,
    )
    if way is Way.NOWHERE:
        raise HTTPException(404, "Flower has nothing at this address.")
    if way is Way.IF_SEEN:
        task_id = TaskId(task_of(path_below(request)))
        await run_in_threadpool(parts_of(request).tasks.get_task, task_id, by=who)
    # Flower would read what a GET brings along as if it stood in the query.
    is_sent = changes(request.method)
    body = await read_body(request, most_bytes=_MOST_BODY_BYTES) if is_sent else b""
    if way is Way.ONLY_SEEN:
        return await _list_own(request, upstream, who, body)
    if is_sent:
        act = act_of(path_below(request), request.url.query, body.decode("latin-1"))
        if act is not None:
            # Before it is done: nothing happens that nobody has to answer for.
            remember = parts_of(request).remember
            await run_in_threadpool(remember, who.name, act.action, act.subject, act.facts)
            facts = {"user": who.name, "action": act.action, "subject": act.subject}
            logger.info("something was asked of Flower", extra=facts)
    answer = await upstream.ask(
        request.method, _target(request), headers=_asked(request), body=body
    )
    try:
        _check(answer)
        if request.method == "GET" and _is_page(answer):
            return await _shown(request, answer)
    except BaseException:
        answer.close()
        raise
    return Relayed(answer, _headers(request))


def is_program(request: Request) -> bool:
    """Return whether a request shows a token or a key, rather than a browser's session."""
    return "authorization" in request.headers


def is_from_here(request: Request) -> bool:
    """Return whether a browser says that a page of this very origin made it send this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers leave that out over plain HTTP, and name the origin of whatever may change something.
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "?")


def path_below(request: Request) -> str:
    """Return what stands after `/flower` in a request's path, as it came.

    Raises:
        HTTPException: It cannot stand in a path.
    """
    raw: bytes = request.scope["raw_path"].partition(b"?")[0]
    text = raw.decode("latin-1")
    # Written otherwise (`/%66lower`), or with bytes that no URL has.
    if not text.startswith(f"{PREFIX}/") or not all("!" <= each <= "~" for each in text):
        raise HTTPException(404, "Flower has nothing at this address.")
    return text.removeprefix(PREFIX)


def _target(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    if not all(0x21 <= each <= 0x7E for each in query):
        raise HTTPException(404, "Flower has nothing at this address.")
    return (PREFIX + path_below(request)).encode() + (b"?" + query if query else b"")


def _asked(request: Request) -> Headers:
    # A server may leave the blanks round a value, which nobody may send.
    return [
        (name, value.strip(b" \t"))
        for name, value in request.headers.raw
        if name.decode("latin-1") in _ASKED
    ]


async def _list_own(request: Request, upstream: Upstream, who: Caller, body: bytes) -> Response:
    text = body.decode("latin-1") if request.method == "POST" else request.url.query
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=500)
    except ValueError:
        raise HTTPException(400, "This is no question for a list of tasks.") from None
    form = [(b"Content-Type", b"application/x-www-form-urlencoded")]
    answer = await upstream.ask(
        "POST",
        f"{PREFIX}{LIST}".encode(),
        headers=form,
        body=own_tasks.question_of(fields),
    )
    try:
        _check(answer)
        found = await answer.read(most_bytes=own_tasks.MOST_LIST_BYTES)
    finally:
        answer.close()
    if answer.status != 200:
        raise HTTPException(answer.status, "Flower cannot answer this.")
    rows = await run_in_threadpool(own_tasks.tasks_in, found)
    ids = [TaskId(row["uuid"]) for row in rows]
    seen = await run_in_threadpool(parts_of(request).tasks.find_tasks, ids, by=who)
    own = [row for row in rows if TaskId(row["uuid"]) in seen]
    shown = json.dumps(own_tasks.page_of_own(own, fields))
    return Response(shown, headers=_headers(request), media_type="application/json")


def _is_page(answer: Answer) -> bool:
    return any(
        name == "content-type" and value.startswith("text/html") for name, value in answer.headers
    )


async def _shown(request: Request, answer: Answer) -> Response:
    """Return a page of Flower's as it is shown here."""
    page = await answer.read(most_bytes=own_tasks.MOST_LIST_BYTES)
    answer.close()
    passed = {name: value for name, value in answer.headers if name in _ANSWERED}
    # It is longer now. Its tag holds: the same page of Flower's is always shown in the same way.
    passed.pop("content-length", None)
    return Response(with_way_back(page), answer.status, {**passed, **_headers(request)})


def _check(answer: Answer) -> None:
    """Return if an answer is one that may be passed on."""
    is_redirect = 300 <= answer.status < 400 and answer.status != 304
    if answer.status == 401 or is_redirect:
        # Our password is not its own. What it says of its own sign-in is not for a browser.
        raise FlowerBrokenError
    if answer.status >= 500:
        # Its page for this shows its settings and where it failed.
        raise HTTPException(502, "Flower failed to answer this; its log says why.")


def _headers(request: Request) -> dict[str, str]:
    found = {"Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin"}
    if path_below(request).startswith("/static/"):
        found["Cache-Control"] = "private, max-age=86400"
    return found


class Relayed(StreamingResponse):
    """An answer of Flower's, passed on as it comes."""

    def __init__(self, answer: Answer, headers: Mapping[str, str]) -> None:
        passed = {name: value for name, value in answer.headers if name in _ANSWERED}
        super().__init__(answer.chunks(), answer.status, {**passed, **headers})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and let go of Flower's connection even if nobody waits for it any more."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


def _line(request: Request, error: CeleriacError | HTTPException) -> Response:
    """Return a refusal as one line, which Flower's own scripts show to whoever pressed a button."""
    if isinstance(error, HTTPException):
        return PlainTextResponse(str(error.detail), error.status_code)
    status = status_of(error)
    if status == 500:
        raise error
    text = f"{str(error)[:1].upper()}{str(error)[1:]}."
    return PlainTextResponse(text, status, headers_of(request, error))
