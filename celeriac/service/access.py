"""Letting in: a password becomes a token, a token or a key becomes a caller."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from celeriac.core.api_key import ApiKey
from celeriac.core.user import User
from celeriac.errors import LedgerUnavailableError, NotAuthenticatedError
from celeriac.service.callers import Caller
from celeriac.service.keys import hash_key, is_good, is_key
from celeriac.service.passwords import Hasher
from celeriac.service.tokens import AccessToken, Claims, Tokens

logger = logging.getLogger(__name__)

# No word about which of the two was wrong: that would tell who has an account.
_WRONG = "the user name or the password is wrong"


class SignInLedger(Protocol):
    """What is used of the ledger's users."""

    def find(self, name: str) -> User | None:
        """Return the user of a name."""
        ...

    def rehash_password(self, name: str, old_hash: str, new_hash: str) -> None:
        """Keep another hash of the same password, unless it was changed meanwhile."""
        ...

    def sign_out(self, name: str) -> None:
        """End every token given out to a user; UserNotFoundError when there is none."""
        ...


class SignInKeys(Protocol):
    """What is used of the ledger's keys."""

    def find_by_hash(self, key_hash: str) -> ApiKey | None:
        """Return the key of a hash, good or not."""
        ...

    def note_use(self, key: ApiKey) -> None:
        """Remember that a key was used."""
        ...


class HasSignInUsers(Protocol):
    """A ledger, as far as signing in is concerned."""

    @property
    def keys(self) -> SignInKeys:
        """Its keys."""
        ...

    @property
    def users(self) -> SignInLedger:
        """Its users."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClaims:
    """What a key says by itself: nothing; the ledger knows the rest."""

    key_hash: str

    @property
    def counted_as(self) -> str:
        """Under which name requests with it are counted."""
        return f"key {self.key_hash[:32]}"


class AccessService:
    """Signs people in and says who stands behind a token or a key."""

    def __init__(
        self,
        ledger: HasSignInUsers,
        hasher: Hasher,
        tokens: Tokens,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._hasher = hasher
        self._tokens = tokens
        self._now = now

    def warm_up(self) -> None:
        """Import what reading tokens needs, so that the first request does not wait for it."""
        self._tokens.warm_up()

    def sign_in(self, name: str, password: str) -> AccessToken:
        """Return a token for a name and its password.

        Raises:
            NotAuthenticatedError: They do not belong together, or the user is disabled.
        """
        return self._tokens.issue(self.recognize(name, password))

    def recognize(self, name: str, password: str) -> User:
        """Return the user behind a name and its password.

        Takes as long for a name that nobody has as for a wrong password.

        Raises:
            NotAuthenticatedError: They do not belong together, or the user is disabled.
        """
        user = self._find(name)
        is_right = self._hasher.verify(password, user.password_hash if user else None)
        if user is None or not is_right or user.is_disabled:
            logger.warning("a sign-in was refused", extra={"user": name[:64]})
            raise NotAuthenticatedError(_WRONG)
        if self._hasher.is_outdated(user.password_hash):
            renewed = self._hasher.hash(password)
            self._ledger.users.rehash_password(name, user.password_hash, renewed)
        logger.info("a user signed in", extra={"user": name})
        return user

    def read_token(self, text: str) -> Claims | KeyClaims:
        """Return what a token or a key says, without asking the ledger.

        Raises:
            NotAuthenticatedError: It is a token that is not good.
        """
        if is_key(text):
            return KeyClaims(key_hash=hash_key(text))
        return self._tokens.read(text)

    def admit(self, claims: Claims | KeyClaims) -> Caller:
        """Return the caller behind a token or a key, as the ledger knows them now.

        Raises:
            NotAuthenticatedError: The user is gone or disabled, the session was ended, or the key
                is none of ours, was revoked or has expired.
        """
        if isinstance(claims, KeyClaims):
            return self._admit_key(claims)
        user = self._ledger.users.find(claims.user_name)
        if user is None or user.is_disabled or user.token_version != claims.token_version:
            raise NotAuthenticatedError("the token is no longer good")
        return Caller.from_user(user)

    def sign_out(self, name: str) -> None:
        """End every session and every token of a user, wherever they are.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._ledger.users.sign_out(name)
        logger.info("a user signed out", extra={"user": name})

    def _admit_key(self, claims: KeyClaims) -> Caller:
        key = self._ledger.keys.find_by_hash(claims.key_hash)
        user = None if key is None else self._ledger.users.find(key.user)
        if key is None or user is None or user.is_disabled or not is_good(key, now=self._now()):
            raise NotAuthenticatedError("the key is not good")
        try:
            self._ledger.keys.note_use(key)
        except LedgerUnavailableError:
            # A full disk takes no note, and is no reason to refuse who only reads.
            logger.warning("the use of a key was not noted", extra={"key_id": key.id})
        return Caller.from_key(user, key)

    def _find(self, name: str) -> User | None:
        # No database takes these in a text, and no user has them in the name.
        if "\0" in name or not name.isprintable() or len(name) > 64:
            return None
        return self._ledger.users.find(name)
