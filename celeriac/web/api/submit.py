"""Submitting a task by its name: the route that is asked the most."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.acceptance import Accepted
from celeriac.core.task import Task, TaskId
from celeriac.core.task_ids import new_task_id
from celeriac.errors import CeleriacError, TaskNameNotFoundError
from celeriac.service.access import Bearer
from celeriac.service.reports import TaskReport
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.service.submitting import Once
from celeriac.web.accepted import accepted_task, task_text
from celeriac.web.auth import SCHEME, bearer_of
from celeriac.web.bare_route import BareRoute
from celeriac.web.batches import PATH, SCHEMA, BatchOut, batch_text, requests_of
from celeriac.web.bodies import JSON_TYPE, is_json, parse_object, read_json
from celeriac.web.multipart import MULTIPART_TYPE
from celeriac.web.openapi import (
    ACCEPTED_HEADERS,
    LIMIT_HEADERS,
    SUBMIT_ID,
    WAITED_HEADERS,
    body_of,
    refusals,
)
from celeriac.web.parts import parts_of
from celeriac.web.preferences import (
    APPLIED,
    MOST_WAIT_SECONDS,
    RESPOND_ASYNC,
    applied_wait,
    wait_of,
)
from celeriac.web.preferences import HEADER as PREFER
from celeriac.web.queries import Absent, BatchQuery, SubmitQuery, read_atomic, submit_options
from celeriac.web.repeats import once_of
from celeriac.web.schemas import TaskOut
from celeriac.web.sending import read_sent
from celeriac.web.waiting import read_and_wait, wait_for_end

router = APIRouter(tags=["tasks"], route_class=BareRoute)

IdempotencyKey = Annotated[
    str | Absent,
    Header(
        alias="Idempotency-Key",
        description="Any text that is new for each task, such as a UUID: the same request with the"
        " same key gets the same answer within 24 hours, and makes no second task.",
        max_length=255,
    ),
]


Prefer = Annotated[
    str | Absent,
    Header(
        description=f"`wait=N` waits up to N seconds, at most {MOST_WAIT_SECONDS}, for the task to"
        " end; `Preference-Applied` says whether it did (`wait=N`) or not (`respond-async`).",
    ),
]


async def _describe(
    name: Annotated[str, Path(alias="task_id", description="The task's name, as in /task-types.")],
    query: Annotated[SubmitQuery, Query()],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> None:
    """Say what the route reads, for the document alone."""


async def _describe_batch(
    query: Annotated[BatchQuery, Query()], idempotency_key: IdempotencyKey = None
) -> None:
    """Say what the route reads, for the document alone."""


# OpenAPI knows one parameter at one place of a path, so a name goes by the id's name here.
@router.post(
    "/tasks/{task_id}",
    operation_id=SUBMIT_ID,
    summary="Submit a task by its name",
    status_code=202,
    response_model=TaskOut,
    dependencies=[Depends(SCHEME), Depends(_describe)],
    openapi_extra=body_of({JSON_TYPE: {"type": "object"}, MULTIPART_TYPE: {"type": "object"}}),
    responses={
        200: {
            "model": TaskOut,
            "headers": WAITED_HEADERS,
            "description": "It has ended, within the time that `Prefer` gave it.",
        },
        202: {"headers": ACCEPTED_HEADERS, "description": "It is kept and will run."},
        **refusals(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def submit_task(request: Request) -> Response:
    """Accept a task: the body holds the named arguments of its function.

    Every task that can be submitted has a path of its own beside this one, which says what it
    takes. One that takes files gets them in a form, `multipart/form-data`.
    """
    bearer = await bearer_of(request)
    try:
        seconds = wait_of(request.headers.getlist(PREFER))
        if seconds and parts_of(request).ends.has_room:
            return await _submit_and_wait(request, bearer, seconds)
        answer = accepted_task(await _submit(request, bearer))
    except TaskNameNotFoundError as error:
        told = await run_in_threadpool(_no_such_name, request, error.name, bearer)
        raise told from error
    if seconds:
        answer.headers[APPLIED] = RESPOND_ASYNC
    return answer


def _no_such_name(request: Request, name: str, bearer: Bearer) -> TaskNameNotFoundError:
    parts = parts_of(request)
    return parts.task_types.no_such_name(name, by=parts.access.admit(bearer))


async def _submit(request: Request, bearer: Bearer, *, task_id: TaskId | None = None) -> Accepted:
    try:
        options = submit_options(request.scope["query_string"].decode("latin-1"))
        if not is_json(request):
            return await _submit_form(request, bearer, options, task_id=task_id)
        most_bytes = parts_of(request).settings.max_body_bytes
        body = await read_json(request, most_bytes=most_bytes)
        wanted = SubmitRequest(
            name=request.path_params["task_id"],
            kwargs=parse_object(body),
            options=options,
            size_bytes=len(body),
        )
        once = once_of(request, body, task_text)
    except (CeleriacError, RequestValidationError):
        # What is wrong with it is told to those who may come in.
        await run_in_threadpool(parts_of(request).access.admit, bearer)
        raise
    return await _accept(request, wanted, bearer, once, task_id=task_id)


@router.post(
    PATH,
    operation_id="submit_batch",
    summary="Submit many tasks in one commit",
    response_model=BatchOut,
    dependencies=[Depends(SCHEME), Depends(_describe_batch)],
    openapi_extra=body_of({JSON_TYPE: SCHEMA}),
    responses={
        200: {
            "headers": LIMIT_HEADERS,
            "description": "What became of each of them; those that were accepted are kept.",
        },
        **refusals(400, 401, 403, 409, 413, 415, 422, 429, 503),
    },
)
async def submit_batch(request: Request) -> Response:
    """Accept up to 1,000 tasks, each with its name, its arguments and its options.

    One that is refused keeps none of the others back, unless `atomic=true` asks for all or nothing.
    """
    bearer = await bearer_of(request)
    parts = parts_of(request)
    try:
        is_atomic = read_atomic(request.query_params)
        body = await read_json(request, most_bytes=parts.settings.max_batch_bytes)
        once = once_of(request, body, batch_text)
        # A thousand take a while to be checked: others are served meanwhile.
        requests = await run_in_threadpool(requests_of, body)
    except (CeleriacError, RequestValidationError):
        await run_in_threadpool(parts.access.admit, bearer)
        raise
    submitted = await run_in_threadpool(
        parts.submitting.submit_batch_soon, requests, by=bearer, once=once, is_atomic=is_atomic
    )
    accepted = await parts.landing.wait_for(submitted)
    text = accepted.answer
    if text is None:
        text = await run_in_threadpool(batch_text, accepted.outcomes)
    return Response(text, media_type=JSON_TYPE)


async def _submit_form(
    request: Request, bearer: Bearer, options: SubmitOptions, *, task_id: TaskId | None
) -> Accepted:
    name = request.path_params["task_id"]
    by = await run_in_threadpool(parts_of(request).access.admit, bearer)
    # Here and not before: what stands in the query is good by now, and no file is kept for nothing.
    with await read_sent(request, name=name, by=by) as sent:
        wanted = SubmitRequest(name=name, kwargs=sent.kwargs, files=sent.files, options=options)
        once = once_of(request, sent.content, task_text)
        accepted = await _accept(request, wanted, bearer, once, task_id=task_id)
        sent.task = next((each for each in accepted.outcomes if isinstance(each, Task)), None)
        return accepted


async def _accept(
    request: Request,
    wanted: SubmitRequest,
    bearer: Bearer,
    once: Once | None,
    *,
    task_id: TaskId | None,
) -> Accepted:
    parts = parts_of(request)
    accepted = parts.submitting.submit_soon(wanted, by=bearer, task_id=task_id, once=once)
    return await parts.landing.wait_for(accepted)


async def _submit_and_wait(request: Request, bearer: Bearer, seconds: int) -> Response:
    parts = parts_of(request)
    # Known before it is there, so that its end is listened for before it can come.
    task_id = new_task_id()
    async with parts.ends.listening(task_id) as event:
        answer = accepted_task(await _submit(request, bearer, task_id=task_id))
        its_id = TaskId(unquote(answer.headers["location"].rpartition("/")[2]))

        def read() -> TaskReport:
            return parts.tasks.get_task(its_id, by=parts.access.admit(bearer))

        is_new = its_id == task_id
        report = None
        if is_new:
            ending = wait_for_end(parts.ends, event, read, seconds=seconds, is_new=True)
            report = await _if_told(ending)
    if not is_new:
        # The same request came before, or an equal task stands for this one.
        report = await _if_told(read_and_wait(parts.ends, its_id, read, seconds=seconds))
    if report is None:
        return answer
    if not report.task.state.is_final:
        answer.headers[APPLIED] = RESPOND_ASYNC
        return answer
    finished = TaskOut.text_of(report, is_whole=True)
    return Response(finished, 200, {APPLIED: applied_wait(seconds)}, JSON_TYPE)


async def _if_told(ending: Awaitable[TaskReport]) -> TaskReport | None:
    """Return what is told of a task; None when nothing is: it is accepted all the same."""
    try:
        return await ending
    except CeleriacError:
        return None
