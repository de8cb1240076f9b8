"""Reading, listing, cancelling and retrying tasks."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.task import TaskId
from celeriac.web.accepted import accepted_task, task_text
from celeriac.web.api.submit import IdempotencyKey, Prefer
from celeriac.web.auth import SignedIn
from celeriac.web.bodies import JSON_TYPE, read_optional_json_object
from celeriac.web.downloads import download, download_text
from celeriac.web.openapi import (
    ACCEPTED_HEADERS,
    DOWNLOAD_HEADERS,
    FILE_SCHEMA,
    LIMIT_HEADERS,
    PART_OF_FILE,
    WAITED_HEADERS,
    refusals,
)
from celeriac.web.parts import Files, Seals, Submitting, TaskEnds, Tasks, TaskTypes
from celeriac.web.preferences import APPLIED, RESPOND_ASYNC, applied_wait, wait_of
from celeriac.web.preferences import HEADER as PREFER
from celeriac.web.queries import ListQuery, once_except
from celeriac.web.repeats import once_of
from celeriac.web.schemas import TaskOut, TaskPageOut, reference_of, result_of
from celeriac.web.waiting import read_and_wait

router = APIRouter(tags=["tasks"])

Json = Any
OptionalJsonObject = Annotated[dict[str, Json], Depends(read_optional_json_object)]


async def refuse_name(task_id: str, task_types: TaskTypes) -> None:
    """Return if the last step of a path is no task name: a name is not an id."""
    if task_types.has(task_id):
        raise HTTPException(405)


@router.get(
    "/tasks/{task_id}",
    operation_id="get_task",
    dependencies=[Depends(refuse_name)],
    responses={
        200: {"headers": WAITED_HEADERS},
        202: {
            "model": TaskOut,
            "headers": WAITED_HEADERS,
            "description": "It has not ended within the time that `Prefer` gave it.",
        },
        **refusals(401, 403, 404, 405, 429, 503),
    },
)
async def get_task(
    task_id: Annotated[str, Path(description="The task's id.")],
    who: SignedIn,
    tasks: Tasks,
    ends: TaskEnds,
    request: Request,
    response: Response,
    _: Prefer = None,
) -> TaskOut:
    """Read a task: how it stands, and its result once it completed."""
    seconds = wait_of(request.headers.getlist(PREFER))
    read = partial(tasks.get_task, TaskId(task_id), by=who)
    report = await read_and_wait(ends, TaskId(task_id), read, seconds=seconds)
    if seconds and report.task.state.is_final:
        response.headers[APPLIED] = applied_wait(seconds)
    elif seconds:
        response.status_code = 202
        response.headers[APPLIED] = RESPOND_ASYNC
    return TaskOut.of(report, is_whole=True)


@router.get(
    "/tasks",
    operation_id="list_tasks",
    dependencies=[Depends(once_except("state"))],
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 422, 429, 503)},
)
def list_tasks(
    who: SignedIn, query: Annotated[ListQuery, Query()], tasks: Tasks, seals: Seals
) -> TaskPageOut:
    """List tasks, newest first, page by page; operators see everybody's, others their own."""
    wanted = query.to_filter()
    context = f"{who.name}\n{wanted!r}"
    after = seals.open(query.page_token, context=context)
    page = tasks.list_tasks(wanted, by=who, after=after, limit=query.limit)
    return TaskPageOut.of(page, next_page_token=seals.seal(page.next, context=context))


@router.get(
    "/tasks/{task_id}/result",
    operation_id="get_result",
    response_class=Response,
    responses={
        200: {
            "headers": {**DOWNLOAD_HEADERS, **LIMIT_HEADERS},
            "description": "The file that the function returned, or its result as JSON.",
            "content": {"*/*": {"schema": FILE_SCHEMA}, JSON_TYPE: {"schema": {}}},
        },
        206: PART_OF_FILE,
        **refusals(400, 401, 403, 404, 409, 416, 429, 503),
    },
)
def get_result(
    task_id: Annotated[str, Path(description="The task's id.")],
    who: SignedIn,
    tasks: Tasks,
    files: Files,
) -> Response:
    """Download what a task returned: the file itself, or any other result as JSON."""
    task = tasks.get_result(TaskId(task_id), by=who)
    reference = reference_of(task)
    if reference is not None:
        return download(reference, files)
    name = f"result-{task.id}.json"
    return download_text(json.dumps(result_of(task)), name=name, content_type=JSON_TYPE)


@router.get(
    "/tasks/{task_id}/files/{file_id}",
    operation_id="get_file",
    response_class=Response,
    responses={
        200: {
            "headers": {**DOWNLOAD_HEADERS, **LIMIT_HEADERS},
            "description": "The file.",
            "content": {"*/*": {"schema": FILE_SCHEMA}},
        },
        206: PART_OF_FILE,
        **refusals(400, 401, 403, 404, 416, 429, 503),
    },
)
def get_file(
    task_id: Annotated[str, Path(description="The task's id.")],
    file_id: Annotated[str, Path(description="The last part of the file's `url`.")],
    who: SignedIn,
    tasks: Tasks,
    files: Files,
) -> Response:
    """Download a file among the arguments or the result of a task."""
    return download(tasks.get_file(TaskId(task_id), file_id, by=who), files)


@router.post(
    "/tasks/{task_id}/retry",
    operation_id="retry_task",
    status_code=202,
    response_model=TaskOut,
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {JSON_TYPE: {"schema": {"type": "object"}}},
        }
    },
    responses={
        202: {"headers": ACCEPTED_HEADERS, "description": "A new task is kept and will run."},
        **refusals(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def retry_task(
    task_id: Annotated[str, Path(description="The task's id.")],
    who: SignedIn,
    changes: OptionalJsonObject,
    submitting: Submitting,
    request: Request,
    _: IdempotencyKey = None,
) -> Response:
    """Run a task that has ended again, as a new task; the body may change some of its arguments."""
    once = once_of(request, json.dumps(changes).encode(), task_text)
    accepted = await run_in_threadpool(
        submitting.retry_task, TaskId(task_id), by=who, changes=changes, once=once
    )
    return accepted_task(accepted)


@router.post(
    "/tasks/{task_id}/cancel",
    operation_id="cancel_task",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 404, 409, 429, 503)},
)
def cancel_task(
    task_id: Annotated[str, Path(description="The task's id.")], who: SignedIn, tasks: Tasks
) -> TaskOut:
    """Cancel a task; one that runs is asked to stop and ends when its worker says so."""
    return TaskOut.of(tasks.cancel_task(TaskId(task_id), by=who))
