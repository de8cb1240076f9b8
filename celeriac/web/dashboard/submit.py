"""Choosing a task, filling in its form, and submitting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.file_reference import find_references
from celeriac.core.nearest import did_you_mean
from celeriac.core.task import DEFAULT_PRIORITY, TaskId
from celeriac.core.task_ids import new_task_id
from celeriac.core.task_type import TaskType
from celeriac.errors import (
    FieldProblem,
    InvalidArgumentsError,
    InvalidOptionError,
    TaskIdTakenError,
    TaskNotFoundError,
)
from celeriac.samples import NAMES as SAMPLES
from celeriac.service.callers import Caller, Scope
from celeriac.service.submission import (
    MOST_PRIORITY,
    SubmitOptions,
    SubmitRequest,
    check_options,
)
from celeriac.service.tasks import TaskService
from celeriac.web.dashboard.access import text_of
from celeriac.web.dashboard.answers import arguments_from, first_step, prefill, refill, with_others
from celeriac.web.dashboard.chosen_files import add_files, read_page, to_choose_again
from celeriac.web.dashboard.forms import Field, Kind, fields_of, fill
from celeriac.web.dashboard.guard import NEWCOMERS, PageRoute, SignedIn, Visiting
from celeriac.web.dashboard.pages import kwargs_of
from celeriac.web.dashboard.rendering import render
from celeriac.web.dashboard.signing_in import to_page
from celeriac.web.dashboard.visits import Visit
from celeriac.web.parts import Files, Queues, Submitting, Tasks, TaskTypes, parts_of
from celeriac.web.problems import status_of
from celeriac.web.refusals import FormRefusedError
from celeriac.web.sending import Sent

router = APIRouter(route_class=PageRoute)

Json = Any
_OPTIONS = ("queue", "delay_seconds", "priority")
# The tick that says that a queue is meant which no worker serves: its name.
_MEANT = "queue_meant"


@router.get("/ui/submit", dependencies=NEWCOMERS)
def choose_task(
    request: Request, visit: Visiting, who: SignedIn, task_types: TaskTypes
) -> Response:
    """Show every task that can be submitted."""
    who.require(Scope.SUBMIT)
    return render(
        request,
        visit,
        "choose.html",
        # One's own first: the samples are only to look around with.
        task_types=sorted(
            task_types.list_task_types(by=who), key=lambda each: each.name in SAMPLES
        ),
        unloaded=task_types.list_unloaded(by=who),
    )


@router.get("/ui/submit/{name:path}", dependencies=NEWCOMERS)
def show_form(
    request: Request, name: str, visit: Visiting, who: SignedIn, task_types: TaskTypes, tasks: Tasks
) -> Response:
    """Show a task's form; `?from=ID` fills it with an earlier task's arguments, `?arg.X=` one."""
    who.require(Scope.SUBMIT)
    task_type = task_types.get_task_type(name, by=who)
    fields = prefill(fields_of(task_type.schema), request.query_params)
    earlier = request.query_params.get("from", "")
    before = earlier_arguments(tasks, earlier, name=name, by=who)
    earlier = earlier if find_references(before) else ""
    return _form_page(request, visit, task_type, fill(fields, before), earlier=earlier)


@router.post("/ui/submit/{name:path}", dependencies=NEWCOMERS)
async def submit(
    request: Request,
    name: str,
    visit: Visiting,
    who: SignedIn,
    task_types: TaskTypes,
    tasks: Tasks,
    submitting: Submitting,
    queues: Queues,
    files: Files,
) -> Response:
    """Submit a task and show it; the same form sent twice makes one task."""
    who.require(Scope.SUBMIT)
    task_type = task_types.get_task_type(name, by=who)
    fields = fields_of(task_type.schema)
    try:
        sent = await read_page(request, visit, fields)
    except FormRefusedError as error:
        if not error.typed:
            raise
        # Signed in again since it was opened: nobody shall have to type it a second time.
        earlier = text_of(error.typed, "from")
        before = await run_in_threadpool(earlier_arguments, tasks, earlier, name=name, by=who)
        return _form_page(
            request,
            visit,
            task_type,
            fill(fields, before),
            sent=error.typed,
            problems=to_choose_again(fields, error.typed),
            earlier=earlier if find_references(before) else "",
            refusal=error,
        )
    with Sent(kwargs={}, files=sent.ids, store=files) as kept:
        earlier = text_of(sent.texts, "from")
        before = await run_in_threadpool(earlier_arguments, tasks, earlier, name=name, by=who)
        kept.kwargs, problems = arguments_from(fields, sent.texts)
        named = add_files(kept.kwargs, fields, sent.files, before)
        options, option_problems = options_from(sent.texts, now=datetime.now(UTC))
        doubted = text_of(sent.texts, _MEANT)
        if options.queue and options.queue != doubted:
            own = {each.queue for each in task_types.list_task_types(by=who)}
            meant = await run_in_threadpool(queues.meant_by, options.queue, own=own, by=who)
            option_problems += doubts_about(options.queue, meant)
            doubted = options.queue if meant else ""
        if problems or option_problems:
            wanted = SubmitRequest(name=name, kwargs=kept.kwargs, files=named)
            others = await run_in_threadpool(submitting.problems_with, wanted)
            problems = with_others(problems, others)
        else:
            task_id = visit.task_id(name, text_of(sent.texts, "nonce"), sent.said)
            wanted = SubmitRequest(name=name, kwargs=kept.kwargs, files=named, options=options)
            try:
                report = await run_in_threadpool(submitting.submit, wanted, by=who, task_id=task_id)
            except InvalidArgumentsError as error:
                problems = error.problems
            except TaskIdTakenError:
                # The id is our seal over all that was sent: it is the same form, sent twice, and
                # only the files lie somewhere else the second time.
                return to_page(_task_url(task_id))
            else:
                kept.task = report.task
                return to_page(_task_url(report.task.id))
    problems = (*problems, *option_problems)
    return _form_page(
        request,
        visit,
        task_type,
        fill(fields, before),
        sent=sent.texts,
        problems=(*problems, *to_choose_again(fields, sent.file_names, problems)),
        earlier=earlier if find_references(before) else "",
        doubted_queue=doubted,
    )


def earlier_arguments(
    tasks: TaskService, task_id: str, *, name: str, by: Caller
) -> dict[str, Json]:
    """Return the arguments of an earlier task of the same name; none if it is not there."""
    if not task_id:
        return {}
    try:
        task = tasks.get_task(TaskId(task_id), by=by).task
    except TaskNotFoundError:
        # The form is as useful without it.
        return {}
    return (kwargs_of(task) or {}) if task.name == name else {}


def _task_url(task_id: str) -> str:
    return f"/ui/tasks/{quote(task_id, safe='')}"


def options_from(
    form: Mapping[str, Sequence[str]], *, now: datetime
) -> tuple[SubmitOptions, tuple[FieldProblem, ...]]:
    """Return how a task shall be run, and the fields that are wrong."""
    problems = []
    numbers: dict[str, float] = {}
    for name in ("delay_seconds", "priority"):
        text = "".join(form.get(name, ())).strip()
        if not text:
            continue
        try:
            numbers[name] = int(text) if name == "priority" else float(text)
        except ValueError:
            kind = "a whole number" if name == "priority" else "a number"
            problems.append(FieldProblem(pointer=f"/{name}", detail=f"must be {kind}"))
    delay = numbers.get("delay_seconds")
    try:
        options = SubmitOptions(
            queue="".join(form.get("queue", ())).strip() or None,
            priority=int(numbers.get("priority", DEFAULT_PRIORITY)),
            delay=None if delay is None else timedelta(seconds=delay),
        )
    # Not a number, or more seconds than a duration holds.
    except (ValueError, OverflowError):
        problems.append(FieldProblem(pointer="/delay_seconds", detail="is out of bounds"))
        options = SubmitOptions()
    if not problems:
        # The service checks them once more, but only after it has taken the arguments.
        try:
            check_options(options, now=now)
        except InvalidOptionError as error:
            problems += error.problems
    return options, tuple(problems)


def doubts_about(queue: str, meant: Sequence[str]) -> tuple[FieldProblem, ...]:
    """Return what is asked about a queue in whose place others may be meant; nothing if none is."""
    told = f"no worker serves {queue}; {did_you_mean(meant)}"
    return (FieldProblem(pointer="/queue", detail=told),) if meant else ()


def _form_page(
    request: Request,
    visit: Visit,
    task_type: TaskType,
    fields: tuple[Field, ...],
    *,
    sent: Mapping[str, Sequence[str]] | None = None,
    problems: Sequence[FieldProblem] = (),
    earlier: str = "",
    refusal: FormRefusedError | None = None,
    doubted_queue: str = "",
) -> Response:
    shown = fields if sent is None else refill(fields, sent, problems)
    sent = sent or {}
    return render(
        request,
        visit,
        "submit.html",
        status=status_of(refusal) if refusal else 422 if problems else 200,
        refusal=str(refusal or ""),
        task_type=task_type,
        fields=shown,
        options={name: "".join(sent.get(name, ())) for name in _OPTIONS},
        option_problems={
            first_step(each.pointer): each.detail
            for each in problems
            if first_step(each.pointer) in _OPTIONS
        },
        # Beside a queue that was doubted stands a tick: it is meant as it is written.
        doubted_queue=doubted_queue,
        is_queue_meant="".join(sent.get(_MEANT, ())) == doubted_queue,
        # Of no field in particular.
        other_problems=[
            f"{first_step(each.pointer)}: {each.detail}" if each.pointer else each.detail
            for each in problems
            if first_step(each.pointer) not in {*_OPTIONS, *(field.name for field in fields)}
        ],
        default_priority=DEFAULT_PRIORITY,
        most_priority=MOST_PRIORITY,
        nonce=new_task_id(),
        # Whose files stand in for those that are not chosen.
        earlier=earlier,
        has_files=any(each.kind is Kind.FILE for each in shown),
        most_mib=f"{parts_of(request).settings.max_upload_bytes / 2**20:g}",
    )
