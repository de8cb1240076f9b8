"""Signing in and out, the first admin's password, and the files that pages need."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.user import Role, User
from celeriac.errors import (
    CeleriacError,
    InvalidOptionError,
    NotAuthenticatedError,
    UserExistsError,
    WeakPasswordError,
)
from celeriac.service.password_links import is_password_link
from celeriac.service.passwords import LEAST_CHARACTERS
from celeriac.web.auth import address_key, count
from celeriac.web.dashboard.guard import PageRoute, SentForm, SignedIn, Visiting
from celeriac.web.dashboard.rendering import asset_response, render
from celeriac.web.dashboard.signing_in import (
    FIRST_STEPS,
    FORMS,
    HOME,
    local_path,
    sign_in_page,
    to_page,
)
from celeriac.web.dashboard.visits import Visit
from celeriac.web.limits import private_key
from celeriac.web.parts import Parts, parts_of

router = APIRouter(route_class=PageRoute)

# Of the sign-in form itself: whatever else comes with it was typed into another one.
_OWN_FIELDS = ("name", "password", "next")


@router.get("/")
async def go_to_pages() -> Response:
    """Lead to the pages."""
    return to_page("/ui")


@router.get("/ui")
async def go_home() -> Response:
    """Lead to the first page."""
    return to_page(HOME)


@router.get("/ui/static/{name}")
async def get_asset(name: str) -> Response:
    """Return a file that pages need."""
    found = asset_response(name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    return found


@router.get("/ui/sign-in")
async def show_sign_in(request: Request, _: Visiting) -> Response:
    """Show the sign-in page."""
    return await sign_in_page(request, wanted=local_path(request.query_params.get("next", "")))


@router.post("/ui/sign-in")
async def sign_in(request: Request, visit: Visiting, form: SentForm) -> Response:
    """Sign in, and go where one wanted to."""
    parts = parts_of(request)
    name, wanted = text_of(form, "name").strip(), local_path(text_of(form, "next"))
    kept = {field: values for field, values in form.items() if field not in _OWN_FIELDS}
    # Counted before the password is hashed: a guess must cost the guesser more than us.
    await _count_guess(request, parts, name)
    try:
        user = await _recognize(parts, name, text_of(form, "password"))
    except NotAuthenticatedError:
        problem = "The name or the password is wrong."
        return await sign_in_page(
            request, problem=problem, status=401, name=name, wanted=wanted, kept=kept
        )
    visit.sign_in(parts.sessions.begin(user))
    # The browser sends the same once more: the form's page finds in it what was typed there.
    return to_page(wanted, visit, status=307 if kept and wanted.startswith(FORMS) else 303)


@router.post("/ui/sign-out")
async def sign_out(request: Request, visit: Visiting, who: SignedIn, _: SentForm) -> Response:
    """End every session of the user."""
    await run_in_threadpool(parts_of(request).access.sign_out, who.name)
    visit.sign_out()
    return to_page("/ui/sign-in", visit)


@router.get("/start/{secret}")
async def show_start(request: Request, secret: str, visit: Visiting) -> Response:
    """Show the page on which the first admin, or whoever got a link, chooses a password."""
    parts = parts_of(request)
    if is_password_link(secret):
        owner = await run_in_threadpool(parts.password_links.check, secret)
        return _start_page(request, visit, name=owner, is_first=False)
    await run_in_threadpool(parts.start_links.check, secret)
    return _start_page(request, visit, name="admin")


@router.post("/start/{secret}")
async def start(request: Request, secret: str, visit: Visiting, form: SentForm) -> Response:
    """Make the first admin, or take a user's new password, and sign them in."""
    parts = parts_of(request)
    await count(request, parts.limits.sign_in_address, address_key(request))
    name, password = text_of(form, "name").strip(), text_of(form, "password")
    if is_password_link(secret):
        return await _choose_password(request, parts, visit, secret=secret, password=password)

    def make_admin() -> User:
        return parts.users.add_user(name, password, role=Role.ADMIN)

    try:
        user = await parts.hash_threads.run(parts.start_links.spend, secret, make_admin)
    except (WeakPasswordError, InvalidOptionError, UserExistsError) as error:
        return _start_page(request, visit, name=name, error=error)
    visit.sign_in(parts.sessions.begin(user))
    return to_page(FIRST_STEPS, visit)


async def _choose_password(
    request: Request, parts: Parts, visit: Visit, *, secret: str, password: str
) -> Response:
    def set_password(owner: User) -> None:
        parts.users.choose_password(owner, password)

    try:
        user = await parts.hash_threads.run(parts.password_links.spend, secret, set_password)
    except WeakPasswordError as error:
        owner = await run_in_threadpool(parts.password_links.check, secret)
        return _start_page(request, visit, name=owner, is_first=False, error=error)
    visit.sign_in(parts.sessions.begin(user))
    return to_page(FIRST_STEPS, visit)


def text_of(form: Mapping[str, list[str]], name: str) -> str:
    """Return one field of a form, empty when it was not sent."""
    return form[name][0] if name in form else ""


def _start_page(
    request: Request,
    visit: Visit,
    *,
    name: str,
    is_first: bool = True,
    error: CeleriacError | None = None,
) -> Response:
    is_weak = isinstance(error, WeakPasswordError)
    told = f"{str(error)[:1].upper()}{str(error)[1:]}." if error else ""
    return render(
        request,
        visit,
        "start.html",
        status=422 if error else 200,
        name=name,
        is_first=is_first,
        least=LEAST_CHARACTERS,
        name_problem="" if is_weak else told,
        password_problem=told if is_weak else "",
    )


async def _recognize(parts: Parts, name: str, password: str) -> User:
    return await parts.hash_threads.run(parts.access.recognize, name, password)


async def _count_guess(request: Request, parts: Parts, name: str) -> None:
    address = address_key(request)
    await count(request, parts.limits.sign_in_address, address)
    # One count with the API's: guesses at a name are the same wherever they are made.
    await count(request, parts.limits.sign_in, private_key(name.casefold(), address))
