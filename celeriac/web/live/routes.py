"""Being told what happens: Server-Sent Events, for programs and for our own pages."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.task import TaskId
from celeriac.core.user import Scope
from celeriac.errors import NotPermittedError, TaskNotFoundError
from celeriac.service.callers import Caller
from celeriac.service.reports import TaskReport
from celeriac.web import auth
from celeriac.web.dashboard import guard
from celeriac.web.dashboard.visits import SESSION_COOKIE, is_from_elsewhere, read_cookie
from celeriac.web.live.events import HEARTBEAT, RETRY, Topics, joined
from celeriac.web.live.guests import CHECKED_SECONDS, Again
from celeriac.web.live.stream import EventStream
from celeriac.web.live.watch import Watch
from celeriac.web.openapi import LIMIT_HEADERS, refusals
from celeriac.web.parts import Parts, parts_of
from celeriac.web.refusals import FormRefusedError

router = APIRouter(tags=["events"])

_HEARTBEAT_SECONDS = 15.0
_LAST = Header(
    alias="Last-Event-ID",
    max_length=64,
    description="The id of the last event that was read; what came after it follows.",
)
_OPEN: dict[int | str, dict[str, Any]] = {
    200: {"headers": LIMIT_HEADERS, "description": "Events, one after another, without an end."}
}


class EventsQuery(BaseModel):
    """What somebody wants to hear of."""

    model_config = ConfigDict(extra="forbid")

    topics: Annotated[
        str,
        Field(
            min_length=1,
            max_length=16_384,
            description="One or more of `tasks`, `stats`, `task-types` and `task:ID`, with commas"
            " between them.",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Somebody who wants to watch."""

    who: Caller
    # What was shown, and how to look at it again.
    credential: str
    again: Again


async def guest(request: Request, _: auth.TokenShown) -> Guest:
    """Return who wants to watch, by token, by key, or by the session of a browser.

    Raises:
        NotAuthenticatedError: Nobody that we know.
        FormRefusedError: Another site has a browser ask.
        RateLimitedError: The address or the caller asks too often.
    """
    access = parts_of(request).access
    session = read_cookie(request, SESSION_COOKIE)
    if not session or "authorization" in request.headers:
        who = await auth.signed_in(request, None)
        token = auth.bearer_token(request.headers.getlist("authorization"))
        return Guest(
            who=who, credential=token, again=lambda: access.admit(access.read_token(token))
        )
    if is_from_elsewhere(request):
        raise FormRefusedError
    who = await guard.signed_in(request, await guard.visiting(request))
    sessions = parts_of(request).sessions
    return Guest(who=who, credential=session, again=lambda: access.admit(sessions.read(session)))


Watching = Annotated[Guest, Depends(guest)]


@router.get(
    "/events",
    operation_id="watch",
    status_code=200,
    response_class=EventStream,
    responses={**_OPEN, **refusals(401, 403, 404, 422, 429, 503)},
)
async def watch(
    request: Request,
    visitor: Watching,
    query: Annotated[EventsQuery, Query()],
    last_event_id: Annotated[str, _LAST] = "",
) -> Response:
    """Hear of what happens, as Server-Sent Events, at most twice a second.

    `tasks` tells `{ids, new, mine, gone, more}`: tasks that changed, how many of them are new and
    how many of those one's own, and whether more changed than are named. `task` tells a task as
    `GET /tasks/{id}` does, without its result. `stats`, for operators, tells `{t, rates, depths}`.
    `task-types` tells `{names}`, what can be submitted, once.
    `reset` says that too much happened since the last event that was read: ask anew.
    """
    topics = Topics.from_text(query.topics)
    if topics.stats and not (visitor.who.sees_all and not visitor.who.task_patterns):
        raise NotPermittedError(Scope.OPERATE.value)
    parts = parts_of(request)
    first = await _find(parts, topics, visitor.who)
    names = parts.task_types.names()
    watching = Watch(parts.hub, visitor.who, topics, versions={}, names=names)
    if last_event_id:
        watching.resume(last_event_id)
    return _stream(parts, visitor, watching, first, ends_with_task=False)


@router.get(
    "/tasks/{task_id}/events",
    operation_id="watch_task",
    status_code=200,
    response_class=EventStream,
    responses={
        **_OPEN,
        204: {"description": "It has ended, and its last event was read: there is no more."},
        **refusals(401, 403, 404, 422, 429, 503),
    },
)
async def watch_task(
    request: Request,
    task_id: Annotated[str, Path(description="The task's id.")],
    visitor: Watching,
    last_event_id: Annotated[str, _LAST] = "",
) -> Response:
    """Hear of a task's changes, as Server-Sent Events, until it has ended.

    Each event is called `task`, holds the task as `GET /tasks/{id}` does, without its result, and
    has the task's version for its id. The first tells how it stands.
    """
    parts = parts_of(request)
    topics = Topics(task_ids=(TaskId(task_id),))
    first = await _find(parts, topics, visitor.who)
    task = first[TaskId(task_id)].task
    is_known = last_event_id == str(task.version)
    if is_known and task.state.is_final:
        # The one answer after which a browser does not come back.
        return Response(status_code=204)
    versions = {task.id: task.version} if is_known else {}
    watching = Watch(parts.hub, visitor.who, topics, versions=versions, ids_by_version=True)
    return _stream(parts, visitor, watching, first, ends_with_task=True)


async def _find(parts: Parts, topics: Topics, who: Caller) -> Mapping[TaskId, TaskReport]:
    who.require(Scope.READ)
    found = await run_in_threadpool(parts.tasks.find_tasks, topics.task_ids, by=who)
    for task_id in topics.task_ids:
        if task_id not in found:
            raise TaskNotFoundError(task_id)
    return found


def _stream(
    parts: Parts,
    visitor: Guest,
    watching: Watch,
    first: Mapping[TaskId, TaskReport],
    *,
    ends_with_task: bool,
) -> Response:
    key = f"{visitor.who.name}\0{visitor.who.key_id or ''}"
    with ExitStack() as stack:
        stack.enter_context(parts.guests.seat(key, visitor.credential, visitor.who))
        stack.enter_context(watching)
        frames = _frames(parts, visitor, watching, first, ends_with_task=ends_with_task)
        return EventStream(frames, stack.pop_all())


async def _frames(
    parts: Parts,
    visitor: Guest,
    watching: Watch,
    first: Mapping[TaskId, TaskReport],
    *,
    ends_with_task: bool,
) -> AsyncGenerator[bytes, None]:
    events = watching.take(first)
    yield RETRY + joined(events)
    said_at = time.monotonic()
    while not watching.is_over:
        if ends_with_task and any(event.data["status"] != "pending" for event in events):
            return
        silent = time.monotonic() - said_at
        await watching.wait(min(CHECKED_SECONDS, _HEARTBEAT_SECONDS - silent))
        who = await parts.guests.check(visitor.credential, visitor.again)
        if who is None:
            return
        watching.who = who
        events = watching.take()
        if events or time.monotonic() - said_at >= _HEARTBEAT_SECONDS:
            yield joined(events) or HEARTBEAT
            said_at = time.monotonic()
