"""Keys by which programs sign in: made, shown once, known again by their hash, revoked."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from celeriac.core.api_key import ApiKey
from celeriac.core.user import Scope, User
from celeriac.errors import (
    InvalidOptionError,
    KeyNotFoundError,
    NotPermittedError,
    UserNotFoundError,
)
from celeriac.service.callers import Caller

logger = logging.getLogger(__name__)

KEY_PREFIX = "ck_"
# 256 bits: nobody guesses one, so its hash needs neither salt nor time.
_KEY_BYTES = 32
_SHOWN_CHARACTERS = 10
_MOST_LABEL = 64
_MOST_PATTERNS = 20
# No brackets: a pattern shall mean the same to everybody who reads it.
_PATTERN = re.compile(r"[A-Za-z0-9_.:*?-]{1,200}")


class KeyLedger(Protocol):
    """What is used of the ledger's keys."""

    def add(self, key: ApiKey, key_hash: str) -> None:
        """Keep a new key by its hash."""
        ...

    def list(self, user: str) -> tuple[ApiKey, ...]:
        """Return a user's keys, oldest first."""
        ...

    def is_any_used(self, user: str) -> bool:
        """Return whether a key of a user was ever used."""
        ...

    def revoke(self, key_id: str) -> bool:
        """Make a key good for nothing; False when it was no good already."""
        ...


class UserLedger(Protocol):
    """What is used of the ledger's users."""

    def find(self, name: str) -> User | None:
        """Return the user of a name."""
        ...


class HasKeys(Protocol):
    """A ledger, as far as keys are concerned."""

    @property
    def keys(self) -> KeyLedger:
        """Its keys."""
        ...

    @property
    def users(self) -> UserLedger:
        """Its users."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """A wish for a key."""

    # The user in whose name it acts.
    user: str
    # What its owner calls it.
    label: str
    scopes: frozenset[Scope]
    # The task names it may have to do with; empty is all of them.
    task_patterns: tuple[str, ...] = ()
    # None is for ever.
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A key as it is handed out, once."""

    key: ApiKey
    text: str = field(repr=False)


def is_key(text: str) -> bool:
    """Return whether a text is meant as a key rather than as a token."""
    return text.startswith(KEY_PREFIX)


def hash_key(text: str) -> str:
    """Return the hash by which a key is kept."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def is_good(key: ApiKey, *, now: datetime) -> bool:
    """Return whether a key still lets anybody in."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


class KeyService:
    """Makes keys and takes them back."""

    def __init__(self, ledger: HasKeys, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now

    def create_key(self, request: KeyRequest) -> MadeKey:
        """Make a key; its text is in nobody's hands but the caller's.

        Raises:
            UserNotFoundError: There is no such user.
            InvalidOptionError: The label, the rights, a pattern or the lifetime is out of bounds.
        """
        _check(request)
        if self._ledger.users.find(request.user) is None:
            raise UserNotFoundError(request.user)
        text = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        now = self._now()
        key = ApiKey(
            id=secrets.token_hex(6),
            user=request.user,
            label=request.label,
            prefix=text[:_SHOWN_CHARACTERS],
            scopes=request.scopes,
            task_patterns=tuple(sorted(set(request.task_patterns))),
            created_at=now,
            expires_at=None if request.lifetime is None else now + request.lifetime,
        )
        self._ledger.keys.add(key, hash_key(text))
        logger.info("a key was made", extra={"user": key.user, "key_id": key.id})
        return MadeKey(key=key, text=text)

    def list_keys(self, user: str) -> tuple[ApiKey, ...]:
        """Return a user's keys, oldest first, revoked and expired ones too.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        if self._ledger.users.find(user) is None:
            raise UserNotFoundError(user)
        return self._ledger.keys.list(user)

    def revoke_key(self, key_id: str, *, user: str) -> ApiKey:
        """Make a key of a user good for nothing, at once, and return it as it stands then.

        To do it again changes nothing.

        Args:
            key_id: The key's id or the first characters of its text, as `list_keys` shows them.
            user: Whose key it is.

        Raises:
            KeyNotFoundError: The user has none of this id, or several keys begin like this.
        """
        found = [key for key in self._ledger.keys.list(user) if key_id in (key.id, key.prefix)]
        if len(found) != 1:
            raise KeyNotFoundError(key_id)
        self._ledger.keys.revoke(found[0].id)
        logger.info("a key was revoked", extra={"user": user, "key_id": found[0].id})
        return next(key for key in self._ledger.keys.list(user) if key.id == found[0].id)

    def create_own_key(self, request: KeyRequest, *, by: Caller) -> MadeKey:
        """Make a key in the caller's own name.

        Raises:
            NotPermittedError: It would have a right that the caller lacks, or a key asks for
                another without being an admin's.
            InvalidOptionError: Something of it is out of bounds.
        """
        _require_hand(by)
        for scope in sorted(request.scopes):
            by.require(scope)
        return self.create_key(replace(request, user=by.name))

    def replace_own_unused_key(self, request: KeyRequest, *, by: Caller) -> MadeKey:
        """Make a key in the caller's own name, in place of those of its label never used so far.

        Whoever asks a second time has not kept the first one, which is shown to nobody again.

        Raises:
            NotPermittedError: As of `create_own_key`.
            InvalidOptionError: Something of it is out of bounds.
        """
        before = self._ledger.keys.list(by.name)
        made = self.create_own_key(request, by=by)
        for key in before:
            if key.label == request.label and key.last_used_at is None and key.revoked_at is None:
                self.revoke_key(key.id, user=by.name)
        return made

    def has_used_key(self, *, by: Caller) -> bool:
        """Return whether a key of the caller's was ever used.

        Raises:
            NotPermittedError: The caller may not read.
        """
        by.require(Scope.READ)
        return self._ledger.keys.is_any_used(by.name)

    def list_own_keys(self, *, by: Caller) -> tuple[ApiKey, ...]:
        """Return the caller's keys, oldest first.

        Raises:
            NotPermittedError: The caller may not read.
        """
        by.require(Scope.READ)
        return self._ledger.keys.list(by.name)

    def revoke_own_key(self, key_id: str, *, by: Caller) -> ApiKey:
        """Make one of the caller's keys good for nothing, and return it as it stands then.

        Raises:
            NotPermittedError: A key that is no admin's asks to revoke another.
            KeyNotFoundError: The caller has none of this id.
        """
        if key_id != by.key_id:
            _require_hand(by)
        return self.revoke_key(key_id, user=by.name)


def _require_hand(by: Caller) -> None:
    # A key that leaked must not make itself a better one, or one that outlives it.
    if by.key_id is not None:
        by.require(Scope.ADMIN)
        if by.task_patterns:
            raise NotPermittedError(Scope.ADMIN.value)


def _check(request: KeyRequest) -> None:
    if not 1 <= len(request.label) <= _MOST_LABEL or not request.label.isprintable():
        raise InvalidOptionError("label", f"1 to {_MOST_LABEL} printable characters")
    if not request.scopes:
        raise InvalidOptionError("scope", "at least one of " + ", ".join(Scope))
    if request.lifetime is not None and request.lifetime <= timedelta(0):
        raise InvalidOptionError("expires", "more than 0")
    _check_patterns(request.task_patterns)


def _check_patterns(patterns: Collection[str]) -> None:
    if len(patterns) > _MOST_PATTERNS:
        raise InvalidOptionError("task", f"at most {_MOST_PATTERNS} of them")
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise InvalidOptionError("task", "letters, digits and _ . : - * ?, such as image.*")
