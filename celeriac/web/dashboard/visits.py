"""Who looks at a page, by cookie, and whether a form was sent from a page of ours.

A form is believed when it brings a token that only a page for this very browser could hold: the
token is a seal over the browser's cookie, so that neither another site nor another session has it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from starlette.requests import Request
from starlette.responses import Response

from celeriac.core.task import TaskId
from celeriac.core.task_ids import task_id_of
from celeriac.service.callers import Caller, Scope
from celeriac.service.sessions import Session
from celeriac.web.parts import parts_of

SESSION_COOKIE = "celeriac_session"
# Anchors the forms of somebody who has not signed in.
VISITOR_COOKIE = "celeriac_visitor"
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field
_MOST_CHARACTERS = 1024
_PORT = re.compile(r":([0-9]{1,5})$")


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request for a page: whose it is and what its forms are sealed with."""

    # What the browser's forms are bound to: its session, or a random cookie before there is one.
    anchor: str
    key: bytes = field(repr=False)
    is_over_tls: bool
    # Of the address in the browser, empty where it names none.
    port: str
    caller: Caller | None = None
    # Whether the page shows the way to the first steps.
    has_steps_left: bool = False
    # Cookies to set with the answer: name, value, seconds they live (None: until it is closed).
    cookies: list[tuple[str, str, int | None]] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the visit behind a request, not signed in so far."""
        is_over_tls = came_over_tls(request)
        session = read_cookie(request, SESSION_COOKIE)
        anchor = session or read_cookie(request, VISITOR_COOKIE)
        visit = cls(
            anchor=anchor or secrets.token_urlsafe(18),
            key=parts_of(request).form_key,
            is_over_tls=is_over_tls,
            port=port_of(request),
        )
        if not anchor:
            visit.cookies.append((VISITOR_COOKIE, visit.anchor, None))
        return visit

    @property
    def form_token(self) -> str:
        """What a form of this browser carries."""
        return self._seal("form")

    def is_token(self, text: str) -> bool:
        """Return whether a form was made for this browser."""
        return hmac.compare_digest(self.form_token.encode(), text.encode(errors="replace"))

    def task_id(self, of: str, nonce: str, said: Mapping[str, list[str]]) -> TaskId:
        """Return the id of the task a form makes: the same form sent twice makes one task.

        Args:
            of: What is run: a task name, or the id of a task that is run again.
            nonce: A task id that was made with the form.
            said: The fields of the form.
        """
        fields = "\0".join(f"{name}\1{value}" for name in sorted(said) for value in said[name])
        return task_id_of(self._seal(f"task\0{of}\0{nonce}\0{fields}"), made=nonce)

    def sign_in(self, session: Session) -> None:
        """Have the answer give the browser a session."""
        seconds = int(session.lifetime.total_seconds())
        self.cookies = [(SESSION_COOKIE, session.text, seconds), (VISITOR_COOKIE, "", 0)]

    def sign_out(self) -> None:
        """Have the answer take the session away."""
        self.cookies = [(SESSION_COOKIE, "", 0)]

    def keep(self, response: Response) -> None:
        """Put the cookies on the answer."""
        for name, value, seconds in self.cookies:
            response.set_cookie(
                cookie_name(name, is_over_tls=self.is_over_tls, port=self.port),
                value,
                max_age=seconds,
                path="/",
                secure=self.is_over_tls,
                httponly=True,
                # Strict would show the sign-in page to whoever follows a link from a chat.
                samesite="lax",
            )

    @property
    def may_submit(self) -> bool:
        """Whether the caller may start and stop tasks."""
        return self.caller is not None and Scope.SUBMIT in self.caller.scopes

    def _seal(self, said: str) -> str:
        text = f"{self.anchor}\0{said}".encode("utf-8", errors="surrogatepass")
        return hmac.new(self.key, text, sha256).hexdigest()


def cookie_name(name: str, *, is_over_tls: bool, port: str) -> str:
    """Return a cookie's name: under TLS one that no other host and no plain page can set.

    A browser keeps cookies by host and not by port (RFC 6265, 8.5): without it in the name, two
    services of one machine would sign each other's users out.
    """
    whole = f"{name}_{port}" if port else name
    return f"__Host-{whole}" if is_over_tls else whole


def port_of(request: Request) -> str:
    """Return the port in the address that a browser asked for, empty when it named none."""
    found = _PORT.search(request.headers.get("host", ""))
    return found[1] if found else ""


def read_cookie(request: Request, name: str) -> str:
    """Return a cookie of ours, empty when the browser sent none."""
    whole = cookie_name(name, is_over_tls=came_over_tls(request), port=port_of(request))
    text = request.cookies.get(whole, "")
    return text if len(text) <= _MOST_CHARACTERS else ""


def came_over_tls(request: Request) -> bool:
    """Return whether the browser's connection is encrypted, as far as we may believe it."""
    if request.scope.get("scheme") == "https":
        return True
    if not parts_of(request).settings.trusted_proxies:
        return False
    return request.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip() == "https"


def is_from_elsewhere(request: Request) -> bool:
    """Return whether a browser says that another site made it send this."""
    # Absent over plain HTTP to another machine and in old browsers: then the token decides alone.
    return request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
