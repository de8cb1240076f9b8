"""Access tokens: who signed in, until when, under which key. Says nothing about the user today."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from celeriac.core.user import User
from celeriac.errors import NotAuthenticatedError

_ALGORITHM = "HS256"
_ISSUER = "celeriac"
_AUDIENCE = "celeriac-api"
_TYPE = "access"
# By how much the clocks of two machines may differ.
_LEEWAY = timedelta(seconds=10)
_REQUIRED = ["iss", "aud", "sub", "typ", "tv", "iat", "nbf", "exp", "jti"]
# What our own tokens' headers hold. Any other field (`crit`, `jku`, `jwk`, `x5u` …) asks us to
# believe something that we did not write.
_HEADER_FIELDS = {"alg", "typ", "kid"}
# Far more than we issue; what is longer is not looked at.
_MOST_CHARACTERS = 4096
_REMEMBERED = 4096

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token as it is handed out."""

    text: str
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a good token says."""

    user_name: str
    token_version: int

    @property
    def counted_as(self) -> str:
        """Under which name requests with it are counted."""
        return self.user_name


@dataclass(frozen=True, slots=True)
class _Signed:
    """What a token says that is signed, which never changes."""

    claims: Claims
    # Seconds since 1970: not good before, and no longer good from then on.
    begins: float
    ends: float


def key_id(key: str) -> str:
    """Return a key's public name, from which nothing about the key can be told."""
    return hashlib.sha256(b"celeriac key id\0" + key.encode()).hexdigest()[:16]


def derive_key(key: str, purpose: str) -> bytes:
    """Return a key for another purpose, so that no signature is good for two."""
    return hmac.digest(key.encode(), purpose.encode(), "sha256")


class Tokens:
    """Issues access tokens with the first of its keys and accepts those of all."""

    def __init__(
        self, keys: Sequence[str], *, lifetime: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._first = key_id(keys[0])
        self._lifetime = lifetime
        self._now = now
        # Only this may be remembered: that a signature is good does not change with time. Refusals
        # raise, and what raises is not kept.
        self._signed = lru_cache(maxsize=_REMEMBERED)(self._verify_signature)

    def warm_up(self) -> None:
        """Import what signing needs, which takes a fifth of a second."""
        import jwt  # noqa: F401 - imported for its time, not for its names

    def issue(self, user: User) -> AccessToken:
        """Return a new token of a user."""
        import jwt

        now = int(self._now().timestamp())
        payload = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": user.name,
            "typ": _TYPE,
            "tv": user.token_version,
            "iat": now,
            "nbf": now,
            "exp": now + int(self._lifetime.total_seconds()),
            "jti": secrets.token_urlsafe(12),
        }
        text = jwt.encode(
            payload, self._keys[self._first], algorithm=_ALGORITHM, headers={"kid": self._first}
        )
        return AccessToken(text=text, lifetime=self._lifetime)

    def read(self, text: str) -> Claims:
        """Return what a token says.

        Raises:
            NotAuthenticatedError: It is not ours, not an access token, or not good now.
        """
        if len(text) > _MOST_CHARACTERS:
            raise NotAuthenticatedError("the token is not good")
        signed = self._signed(text)
        at = self._now().timestamp()
        if signed.ends <= at:
            raise NotAuthenticatedError("the token has expired")
        if signed.begins > at:
            raise NotAuthenticatedError("the token is not good yet")
        return signed.claims

    def _verify_signature(self, text: str) -> _Signed:
        # It brings the whole of `cryptography` along: the start of the service shall not wait.
        import jwt

        try:
            header = jwt.get_unverified_header(text)
            key = self._keys.get(header.get("kid", ""))
            if key is None or not header.keys() <= _HEADER_FIELDS:
                raise NotAuthenticatedError("the token is not good")
            payload = jwt.decode(
                text,
                key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # The times are ours to check, with our clock, each time.
                options={
                    "require": _REQUIRED,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        # A `kid` may be any JSON value, so that it cannot even be looked up.
        except (jwt.InvalidTokenError, TypeError, ValueError):
            raise NotAuthenticatedError("the token is not good") from None
        whole = all(_is_whole(payload[name]) for name in ("tv", "iat", "nbf", "exp"))
        if payload["typ"] != _TYPE or not whole:
            raise NotAuthenticatedError("the token is not good")
        leeway = _LEEWAY.total_seconds()
        return _Signed(
            Claims(user_name=payload["sub"], token_version=payload["tv"]),
            begins=max(payload["nbf"], payload["iat"]) - leeway,
            ends=payload["exp"] + leeway,
        )


def _is_whole(value: Json) -> bool:
    # True is an int in Python.
    return isinstance(value, int) and not isinstance(value, bool)
