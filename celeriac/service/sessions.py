"""Sessions of a browser: who signed in, until when, sealed into the text of a cookie.

Like a token it says nothing about the user today: the ledger is asked with each request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.core.user import User
from celeriac.errors import NotAuthenticatedError
from celeriac.service.tokens import Claims

# Far more than a session needs; what is longer is not looked at.
_MOST_CHARACTERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as it is handed to a browser."""

    text: str
    lifetime: timedelta


class Sessions:
    """Seals sessions with the first of its keys and opens those of all.

    The keys are no token's keys: a session is no token, and a token no session.
    """

    def __init__(
        self, keys: Sequence[bytes], *, lifetime: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._keys = tuple(keys)
        self._lifetime = lifetime
        self._now = now

    def begin(self, user: User) -> Session:
        """Return a new session of a user."""
        ends_at = int((self._now() + self._lifetime).timestamp())
        # Two sessions of one second differ, so that what is bound to one is not good for the other.
        said = [user.name, user.token_version, ends_at, secrets.token_urlsafe(12)]
        payload = _encode(json.dumps(said, separators=(",", ":")).encode())
        text = f"{payload}.{_encode(_seal(self._keys[0], payload))}"
        return Session(text=text, lifetime=self._lifetime)

    def read(self, text: str) -> Claims:
        """Return what a session says.

        Raises:
            NotAuthenticatedError: It is not ours, or has ended.
        """
        payload, _, seal = text[:_MOST_CHARACTERS].partition(".")
        given = _decode(seal)
        if not any(hmac.compare_digest(given, _seal(key, payload)) for key in self._keys):
            raise NotAuthenticatedError("the session is not good")
        name, version, ends_at, _ = json.loads(_decode(payload))
        if ends_at <= self._now().timestamp():
            raise NotAuthenticatedError("the session has ended")
        return Claims(user_name=name, token_version=version)


def _seal(key: bytes, payload: str) -> bytes:
    return hmac.digest(key, payload.encode("utf-8", errors="surrogatepass"), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
