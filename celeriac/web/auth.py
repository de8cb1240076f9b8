"""Who sends a request: counted first, then known, then allowed."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from celeriac.errors import NotAuthenticatedError, RateLimitedError
from celeriac.service.access import Bearer
from celeriac.service.callers import Caller
from celeriac.web.addresses import client_bucket
from celeriac.web.limits import Rule
from celeriac.web.parts import parts_of
from celeriac.web.shell import add_answer_header

# Only for the OpenAPI document; the header is read below, more strictly.
SCHEME = OAuth2PasswordBearer(
    tokenUrl="token",
    scheme_name="password",
    description="POST /token gives a token for a user name and its password; an API key (ck_…) "
    "goes in its place.",
    auto_error=False,
)
TokenShown = Annotated[str | None, Depends(SCHEME)]


async def signed_in(request: Request, _: TokenShown) -> Caller:
    """Return who sends a request.

    Raises:
        RateLimitedError: The address or the user asks too often.
        NotAuthenticatedError: There is no token, or it is not good.
    """
    bearer = await bearer_of(request)
    return await run_in_threadpool(parts_of(request).access.admit, bearer)


async def bearer_of(request: Request) -> Bearer:
    """Return the token or key that a request shows, before it is known whether it is still good.

    Raises:
        RateLimitedError: The address or the user asks too often.
        NotAuthenticatedError: There is none, or it was never good or is over.
    """
    parts = parts_of(request)
    limits = parts.limits
    name_policies(request, limits.user, limits.address)
    # Before the token is looked at: guessing counts too.
    address = address_key(request)
    if not parts.limiter.take(limits.address, address):
        await count(request, limits.address, address)
    bearer = parts.access.read_token(bearer_token(request.headers.getlist("authorization")))
    if not parts.limiter.take(limits.user, bearer.counted_as):
        await count(request, limits.user, bearer.counted_as)
    await tell_standing(request, limits.user, bearer.counted_as)
    return bearer


SignedIn = Annotated[Caller, Depends(signed_in)]


def bearer_token(headers: list[str]) -> str:
    """Return the token in a request's `Authorization` headers.

    Raises:
        NotAuthenticatedError: There is not exactly one, or it is of another scheme.
    """
    if len(headers) != 1:
        raise NotAuthenticatedError("a token is needed")
    scheme, _, token = headers[0].strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticatedError("a bearer token is needed")
    return token.strip()


def address_key(request: Request) -> str:
    """Return under which key the address of a request is counted."""
    # Not request.client, which makes an object of it each time.
    client = request.scope.get("client")
    return client_bucket(
        client[0] if client else None,
        request.headers.getlist("x-forwarded-for"),
        trusted_proxies=parts_of(request).settings.trusted_proxies,
    )


def name_policies(request: Request, *rules: Rule) -> None:
    """Have the answer to a request name the rules that hold for its path."""
    add_answer_header(request, "RateLimit-Policy", _policies(rules))


@lru_cache(maxsize=16)
def _policies(rules: tuple[Rule, ...]) -> str:
    return ", ".join(rule.to_policy() for rule in rules)


async def count(request: Request, rule: Rule, key: str) -> None:
    """Count a request by a rule.

    Raises:
        RateLimitedError: It is one too many; the answer says how the rule stands.
    """
    try:
        await parts_of(request).limiter.count(rule, key)
    except RateLimitedError:
        await tell_standing(request, rule, key)
        raise


async def tell_standing(request: Request, rule: Rule, key: str) -> None:
    """Have the answer to a request say what is left of a rule."""
    add_answer_header(request, "RateLimit", await parts_of(request).limiter.header(rule, key))
