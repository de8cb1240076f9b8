"""The outermost layer: headers that every answer carries, and a failure that tells nothing."""

from __future__ import annotations

import logging

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac.web.dashboard.rendering import failure_page
from celeriac.web.dashboard.visits import came_over_tls
from celeriac.web.problems import internal_problem

logger = logging.getLogger(__name__)

_ANSWER_HEADERS = "celeriac.answer_headers"

# An API answers with data: nothing in it is to be run, framed, guessed at or kept.
_SECURITY_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_OVER_TLS = (*_SECURITY_HEADERS, (b"strict-transport-security", b"max-age=31536000"))


def add_answer_header(request: Request, name: str, value: str) -> None:
    """Have the answer to a request carry a header, whether it succeeds or is refused."""
    request.scope[_ANSWER_HEADERS][name.lower().encode()] = value.encode("latin-1")


class Shell:
    """ASGI middleware round everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_ANSWER_HEADERS] = {}
        has_begun = False

        async def send_dressed(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                _dress(message, scope)
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except ClientDisconnect:
            # Nobody is left to answer.
            return
        except Exception:
            logger.exception("a request failed", extra={"path": scope["path"]})
            if has_begun:
                raise
            is_page = scope["path"].startswith(("/ui", "/start", "/flower"))
            answer = failure_page() if is_page else internal_problem(Request(scope))
            await answer(scope, receive, send_dressed)


def _dress(message: Message, scope: Scope) -> None:
    # By hand: Starlette's own headers go through all of them for each that is set.
    said: dict[bytes, bytes] = scope[_ANSWER_HEADERS]
    headers = [each for each in message["headers"] if each[0] not in said]
    there = {name for name, _ in headers}
    ours = _OVER_TLS if came_over_tls(Request(scope)) else _SECURITY_HEADERS
    headers += [each for each in ours if each[0] not in there]
    headers += said.items()
    message["headers"] = headers
