"""Signing in."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from celeriac.errors import FieldProblem
from celeriac.web.auth import address_key, count, name_policies, tell_standing
from celeriac.web.bodies import FORM_TYPE, read_form
from celeriac.web.limits import private_key
from celeriac.web.openapi import LIMIT_HEADERS, body_of, refusals
from celeriac.web.parts import Parts, parts_of
from celeriac.web.refusals import InvalidBodyError
from celeriac.web.schemas import TokenOut

router = APIRouter(tags=["access"])

# A name, a password of any sensible length and what OAuth2 clients send beside them.
_MOST_BYTES = 16 * 1024

_FORM = {
    "type": "object",
    "title": "SignIn",
    "required": ["username", "password"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["password"]},
        "username": {"type": "string", "minLength": 1},
        "password": {"type": "string", "minLength": 1, "format": "password"},
    },
}


@router.post(
    "/token",
    operation_id="sign_in",
    openapi_extra=body_of({FORM_TYPE: _FORM}),
    responses={
        200: {"headers": LIMIT_HEADERS},
        **refusals(400, 401, 413, 415, 422, 429, 503),
    },
)
async def sign_in(request: Request) -> TokenOut:
    """Sign in: exchange a user name and its password for an access token."""
    parts = parts_of(request)
    name, password = credentials(await read_form(request, most_bytes=_MOST_BYTES))
    # Counted before the password is hashed: a guess must cost the guesser more than us.
    await _count(request, parts, name)
    token = await parts.hash_threads.run(parts.access.sign_in, name, password)
    return TokenOut.of(token)


def credentials(form: dict[str, str]) -> tuple[str, str]:
    """Return the user name and the password of a sign-in form.

    Raises:
        InvalidBodyError: One is missing, or the form is for another kind of grant.
    """
    problems = [
        FieldProblem(pointer=f"/{field}", detail="is missing")
        for field in ("username", "password")
        if not form.get(field)
    ]
    if form.get("grant_type", "password") != "password":
        problems.append(FieldProblem(pointer="/grant_type", detail="must be password"))
    if problems:
        raise InvalidBodyError(*problems)
    return form["username"], form["password"]


async def _count(request: Request, parts: Parts, name: str) -> None:
    limits = parts.limits
    address = address_key(request)
    # However a name is written, guesses at it are one count.
    pair = private_key(name.strip().casefold(), address)
    name_policies(request, limits.sign_in, limits.sign_in_address)
    await count(request, limits.sign_in_address, address)
    await count(request, limits.sign_in, pair)
    await tell_standing(request, limits.sign_in, pair)
