"""The list of tasks and the page of one task."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.file_names import UNKNOWN_TYPE
from celeriac.core.file_reference import find_file_ids
from celeriac.core.page import MAX_PAGE_SIZE, TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.core.task_ids import new_task_id
from celeriac.errors import CeleriacError, InvalidOptionError, NoResultError
from celeriac.service.callers import Caller
from celeriac.service.local_profile import LOCAL_USER
from celeriac.service.queues import QueueService
from celeriac.service.reports import TaskReport
from celeriac.service.submission import SubmitOptions, SubmitRequest, check_options
from celeriac.service.task_types import TaskTypeService
from celeriac.service.tasks import TaskService
from celeriac.service.waiting import WaitingBecause
from celeriac.web.dashboard.access import text_of
from celeriac.web.dashboard.guard import (
    NEWCOMERS,
    PageRoute,
    SentForm,
    SignedIn,
    Visiting,
    signed_in,
)
from celeriac.web.dashboard.pages import detail_of, kwargs_of, not_done, row_of
from celeriac.web.dashboard.rendering import render
from celeriac.web.dashboard.signing_in import NOT_DONE, to_page
from celeriac.web.dashboard.texts import readable
from celeriac.web.downloads import download, download_text, picture
from celeriac.web.parts import Files, Queues, Seals, Submitting, Tasks, TaskTypes
from celeriac.web.schemas import reference_of, result_of

router = APIRouter(route_class=PageRoute)

_PER_PAGE = 50


@router.get("/ui/tasks", dependencies=NEWCOMERS)
def show_tasks(
    request: Request,
    visit: Visiting,
    who: SignedIn,
    tasks: Tasks,
    task_types: TaskTypes,
    seals: Seals,
) -> Response:
    """Show one's tasks, newest first, page by page; operators may look at everybody's."""
    chosen = {name: request.query_params.get(name, "") for name in ("state", "name", "whose")}
    wanted = filter_from(chosen, caller=who.name, sees_all=who.sees_all)
    context = f"page\n{who.name}\n{wanted!r}"
    try:
        after = seals.open(request.query_params.get("after", ""), context=context)
    except InvalidOptionError:
        raise HTTPException(422, "This address leads to no part of your list.") from None
    page = tasks.list_tasks(wanted, by=who, after=after, limit=_PER_PAGE)
    now = datetime.now(UTC)
    is_empty = not page.items and after is None and not any(chosen.values())
    return render(
        request,
        visit,
        "tasks.html",
        others=others_with_tasks(tasks, who) if is_empty else "",
        has_local=not (is_empty or after or any(chosen.values())) and has_local_tasks(tasks, who),
        local_user=LOCAL_USER,
        rows=[row_of(report, now=now) for report in page.items],
        states=[state.value for state in TaskState],
        names=task_types.names(),
        chosen=chosen,
        whose=_whose(request, who),
        is_filtered=any(chosen.values()),
        is_first=after is None,
        newest=_list_url(chosen),
        older=_list_url(chosen, seals.seal(page.next, context=context)) if page.next else "",
    )


@router.get("/ui/tasks/rows")
def show_rows(request: Request, visit: Visiting, who: SignedIn, tasks: Tasks) -> Response:
    """Show some rows of a list again, as they are now; what one may not see is left out."""
    ids = [TaskId(each) for each in request.query_params.getlist("ids")]
    if len(ids) > MAX_PAGE_SIZE:
        raise HTTPException(422, f"A list shows at most {MAX_PAGE_SIZE} tasks.")
    found = tasks.find_tasks(ids, by=who)
    reports = [found[each] for each in ids if each in found]
    etag = etag_of(reports)
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    now = datetime.now(UTC)
    rows = [row_of(report, now=now) for report in reports]
    return render(
        request,
        visit,
        "rows.html",
        headers={"ETag": etag},
        rows=rows,
        whose=_whose(request, who),
    )


@router.get("/ui/tasks/{task_id}", dependencies=NEWCOMERS)
def show_task(
    request: Request,
    task_id: str,
    visit: Visiting,
    who: SignedIn,
    tasks: Tasks,
    task_types: TaskTypes,
    queues: Queues,
) -> Response:
    """Show one task."""
    report = tasks.get_task(TaskId(task_id), by=who)
    attempts = tasks.list_attempts(TaskId(task_id), by=who)
    detail = detail_of(report, attempts, now=datetime.now(UTC))
    return render(
        request,
        visit,
        "task.html",
        task=detail,
        row=detail.row,
        nonce=new_task_id(),
        instead=_queue_instead(report, task_types, queues, by=who),
        not_done=not_done(request.query_params.get(NOT_DONE, ""), detail),
    )


@router.get("/ui/tasks/{task_id}/result")
def download_result(task_id: str, who: SignedIn, tasks: Tasks, files: Files) -> Response:
    """Return a task's whole result as a download, never as something a browser would show."""
    try:
        task = tasks.get_result(TaskId(task_id), by=who)
    except NoResultError:
        raise HTTPException(404, "This task has no result.") from None
    reference = reference_of(task)
    if reference is not None:
        return download(reference, files)
    text = readable(result_of(task))
    name = re.sub(r"[^A-Za-z0-9-]", "_", task.id)[:64]
    return download_text(text, name=f"result-{name}.txt", content_type=UNKNOWN_TYPE)


@router.get("/ui/tasks/{task_id}/files/{file_id}")
def download_file(
    task_id: str, file_id: str, who: SignedIn, tasks: Tasks, files: Files
) -> Response:
    """Return a file among a task's arguments or in its result as a download."""
    return download(tasks.get_file(TaskId(task_id), file_id, by=who), files)


@router.get("/ui/tasks/{task_id}/pictures/{file_id}")
def show_picture(task_id: str, file_id: str, who: SignedIn, tasks: Tasks, files: Files) -> Response:
    """Return such a file to be shown in the task's page, if it is a picture."""
    return picture(tasks.get_file(TaskId(task_id), file_id, by=who), files)


@router.post("/ui/tasks/{task_id}/cancel")
def cancel_task(task_id: str, who: SignedIn, _: SentForm, tasks: Tasks) -> Response:
    """Cancel a task, or ask it to stop."""
    tasks.cancel_task(TaskId(task_id), by=who)
    return to_page(_task_url(task_id))


@router.post("/ui/tasks/{task_id}/again")
def run_again(
    task_id: str,
    visit: Visiting,
    who: SignedIn,
    form: SentForm,
    tasks: Tasks,
    submitting: Submitting,
) -> Response:
    """Submit the same task again, as a new one."""
    task = tasks.get_task(TaskId(task_id), by=who).task
    kwargs = kwargs_of(task)
    if kwargs is None:
        raise HTTPException(409, "Its arguments cannot be given by name.")
    new_id = visit.task_id(task_id, text_of(form, "nonce"), form)
    wanted = SubmitRequest(name=task.name, kwargs=kwargs, files=find_file_ids(task.arguments.text))
    report = submitting.submit(wanted, by=who, task_id=new_id)
    return to_page(_task_url(report.task.id))


@router.post("/ui/tasks/{task_id}/instead")
def run_instead(
    task_id: str,
    visit: Visiting,
    who: SignedIn,
    form: SentForm,
    tasks: Tasks,
    submitting: Submitting,
) -> Response:
    """Cancel a task that waits where no worker listens, and submit it to another queue."""
    report = tasks.get_task(TaskId(task_id), by=who)
    task, kwargs = report.task, kwargs_of(report.task)
    if kwargs is None:
        raise HTTPException(409, "Its arguments cannot be given by name.")
    options = SubmitOptions(queue=text_of(form, "queue"), priority=task.priority, tags=task.tags)
    wanted = SubmitRequest(
        name=task.name, kwargs=kwargs, files=find_file_ids(task.arguments.text), options=options
    )
    # What would be refused leaves the task where it waits.
    check_options(options, now=datetime.now(UTC))
    if submitting.problems_with(wanted):
        raise HTTPException(409, "Its arguments do not fit its function any more.")
    if report.waiting_because is WaitingBecause.NO_WORKER_LISTENS:
        task = tasks.cancel_task(task.id, by=who).task
    # Cancelled it is, too, when the same click comes twice.
    if task.state is not TaskState.CANCELLED:
        raise HTTPException(409, "It does not wait for a worker any more.")
    new_id = visit.task_id(task_id, text_of(form, "nonce"), form)
    again = submitting.submit(wanted, by=who, task_id=new_id)
    return to_page(_task_url(again.task.id))


def _queue_instead(
    report: TaskReport, task_types: TaskTypeService, queues: QueueService, *, by: Caller
) -> str:
    task = report.task
    if report.waiting_because is not WaitingBecause.NO_WORKER_LISTENS or kwargs_of(task) is None:
        return ""
    if not task_types.has(task.name):
        return ""
    own = task_types.get_task_type(task.name, by=by).queue
    return queues.served_instead_of(task.queue, own=own, by=by)


# Whatever else begins so is no page; it shall not look like the API.
@router.api_route("/ui/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def show_nothing(request: Request, rest: str, visit: Visiting) -> Response:
    """Say that there is no such page, to whoever is signed in with the way to their tasks."""
    with suppress(CeleriacError):
        await signed_in(request, visit)
    raise HTTPException(404, "No page has this address.")


def etag_of(reports: Sequence[TaskReport]) -> str:
    """Return what changes when a row does, but for the time that has passed."""
    said = [(each.task.id, each.task.version, each.waiting_because) for each in reports]
    return f'"{sha256(json.dumps(said).encode()).hexdigest()[:32]}"'


def others_with_tasks(tasks: TaskService, who: Caller) -> str:
    """Return who else has submitted a task that one may see, this machine's command line first.

    Empty when nobody has.
    """
    if not who.sees_all:
        return ""
    for user in (LOCAL_USER, None):
        found = tasks.list_tasks(TaskFilter(submitted_by=user), by=who, after=None, limit=1)
        if found.items:
            return found.items[0].task.submitted_by or "others"
    return ""


def has_local_tasks(tasks: TaskService, who: Caller) -> bool:
    """Return whether this machine's command line has submitted tasks that one may see."""
    if not who.sees_all or who.name == LOCAL_USER:
        return False
    local = TaskFilter(submitted_by=LOCAL_USER)
    return bool(tasks.list_tasks(local, by=who, after=None, limit=1).items)


def filter_from(chosen: dict[str, str], *, caller: str, sees_all: bool) -> TaskFilter:
    """Return which tasks a list's address asks for; what makes no sense is as good as nothing."""
    is_state = chosen["state"] in set(TaskState)
    name = chosen["name"] if "\0" not in chosen["name"] else ""
    return TaskFilter(
        states=(TaskState(chosen["state"]),) if is_state else (),
        name=name[:255] or None,
        submitted_by=None if sees_all and chosen["whose"] == "all" else caller,
    )


def _whose(request: Request, who: Caller) -> str:
    return "all" if who.sees_all and request.query_params.get("whose") == "all" else ""


def _list_url(chosen: dict[str, str], after: str = "") -> str:
    query = {name: value for name, value in {**chosen, "after": after}.items() if value}
    return "/ui/tasks" + (f"?{urlencode(query)}" if query else "")


def _task_url(task_id: str) -> str:
    return f"/ui/tasks/{quote(task_id, safe='')}"
