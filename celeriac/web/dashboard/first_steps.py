"""The page that leads a newcomer from a first task to a program of their own."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.task_type import TaskType
from celeriac.service.callers import Caller, Scope
from celeriac.service.first_steps import Step
from celeriac.service.keys import KeyRequest
from celeriac.service.task_types import TaskTypeService
from celeriac.web.dashboard.guard import NEWCOMERS, PageRoute, SentForm, SignedIn, Visiting
from celeriac.web.dashboard.guide import BROKEN, call_for_code, shown_steps
from celeriac.web.dashboard.rendering import render
from celeriac.web.dashboard.signing_in import FIRST_STEPS, to_page
from celeriac.web.dashboard.snippets import Snippet, curl_text, python_text
from celeriac.web.dashboard.visits import came_over_tls
from celeriac.web.parts import Keys, Steps, TaskTypes, parts_of
from celeriac.wording import command_word

router = APIRouter(route_class=PageRoute)

# What a key that is made here is called, and what it may do: as one that the command makes.
KEY_LABEL = "my app"
_KEY_SCOPES = frozenset({Scope.READ, Scope.SUBMIT})
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


@router.get(FIRST_STEPS, dependencies=NEWCOMERS)
def show_first_steps(
    request: Request, visit: Visiting, who: SignedIn, first_steps: Steps, task_types: TaskTypes
) -> Response:
    """Show what to try first, and what of it is done."""
    who.require(Scope.SUBMIT)
    found = first_steps.list_steps(by=who)
    steps = shown_steps(
        found,
        proposed(found, task_types, by=who),
        url=service_url(request),
        command=command_word(),
    )
    return render(
        request,
        visit,
        "first_steps.html",
        steps=steps,
        done=sum(step.is_done for step in steps),
        broken=BROKEN,
    )


@router.post(f"{FIRST_STEPS}/key", dependencies=NEWCOMERS)
def make_key(
    request: Request,
    visit: Visiting,
    who: SignedIn,
    _: SentForm,
    keys: Keys,
    first_steps: Steps,
    task_types: TaskTypes,
) -> Response:
    """Make a key for a program, and show it in the only answer that ever holds it.

    Like every answer it may not be stored, and so does not come again by the browser's Back.
    """
    who.require(Scope.SUBMIT)
    wanted = KeyRequest(user=who.name, label=KEY_LABEL, scopes=_KEY_SCOPES)
    made = keys.replace_own_unused_key(wanted, by=who)
    steps = first_steps.list_steps(by=who)
    url = service_url(request)
    call = call_for_code(steps, proposed(steps, task_types, by=who), url=url)
    return render(
        request,
        visit,
        "key.html",
        made=made,
        url=url,
        snippets=(
            Snippet(id="python", label="Python", text=python_text(call, key=made.text)),
            Snippet(id="curl", label="curl", text=curl_text(call, key=made.text)),
        ),
    )


@router.get(f"{FIRST_STEPS}/key")
async def show_no_key(_: Visiting) -> Response:
    """Lead whoever opens the address of a key that was shown back to the steps."""
    return to_page(FIRST_STEPS)


def proposed(
    steps: tuple[Step, ...], task_types: TaskTypeService, *, by: Caller
) -> dict[str, TaskType]:
    """Return the task functions that steps propose, by name."""
    names = {step.name for step in steps if step.name}
    return {name: task_types.get_task_type(name, by=by) for name in names}


def service_url(request: Request) -> str:
    """Return where the service is for whoever asks, without a slash at its end."""
    scheme = "https" if came_over_tls(request) else "http"
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        settings = parts_of(request).settings
        host = f"{settings.host}:{settings.port}"
    return f"{scheme}://{host}"
