"""Letting in: a password becomes a token, a token or a key becomes a caller."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
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

# Keys whose owners are remembered, so that requests are counted before the ledger is asked.
_MOST_OWNERS = 10_000
# No word about which of the two was wrong: that would tell who has an account.
_WRONG = "the user name or the password is wrong"
_RIGHT = "check both; an admin gives another password with `celeriac user set-password NAME`"


class SignInLedger(Protocol):
    """What is used of the ledger's users."""

    def find(self, name: str) -> User | None:
        """Return the user of a name."""
        ...

    def find_many(self, names: Collection[str]) -> dict[str, User]:
        """Return those users of some names that exist."""
        ...

    def rehash_password(self, name: str, old_hash: str, new_hash: str) -> None:
        """Keep another hash of the same password, unless it was changed meanwhile."""
        ...

    def sign_out(self, name: str) -> None:
        """End every token given out to a user; UserNotFoundError when there is none."""
        ...


class SignInKeys(Protocol):
    """What is used of the ledger's keys."""

    def find_by_hashes(self, hashes: Collection[str]) -> dict[str, ApiKey]:
        """Return the keys of some hashes, good or not."""
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
    # Whose it is, if it was good before in this process; whether it still is, is asked later.
    owner: str | None = None

    @property
    def counted_as(self) -> str:
        """Under which name requests with it are counted: its owner's, with all of their keys."""
        return self.owner or f"key {self.key_hash[:32]}"


Bearer = Claims | KeyClaims


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
        # By the keys' hashes. A key never changes its owner.
        self._owners: dict[str, str] = {}

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
            raise NotAuthenticatedError(_WRONG, fix=_RIGHT)
        if self._hasher.is_outdated(user.password_hash):
            renewed = self._hasher.hash(password)
            self._ledger.users.rehash_password(name, user.password_hash, renewed)
        logger.info("a user signed in", extra={"user": name})
        return user

    def read_token(self, text: str) -> Bearer:
        """Return what a token or a key says, without asking the ledger.

        Raises:
            NotAuthenticatedError: It is a token that is not good.
        """
        if is_key(text):
            key_hash = hash_key(text)
            return KeyClaims(key_hash=key_hash, owner=self._owners.get(key_hash))
        return self._tokens.read(text)

    def admit(self, claims: Bearer) -> Caller:
        """Return the caller behind a token or a key, as the ledger knows them now.

        Raises:
            NotAuthenticatedError: The user is gone or disabled, the session was ended, or the key
                is none of ours, was revoked or has expired.
        """
        (caller,) = self.admit_many([claims])
        if isinstance(caller, NotAuthenticatedError):
            raise caller
        return caller

    def admit_many(self, bearers: Sequence[Bearer]) -> list[Caller | NotAuthenticatedError]:
        """Return for each token or key, in order, the caller behind it or why there is none.

        What the ledger knows of all of them is read at once.
        """
        hashes = {each.key_hash for each in bearers if isinstance(each, KeyClaims)}
        keys = self._ledger.keys.find_by_hashes(hashes) if hashes else {}
        names = {key.user for key in keys.values()}
        names.update(each.user_name for each in bearers if isinstance(each, Claims))
        users = self._ledger.users.find_many(names) if names else {}
        good = {
            key_hash: key
            for key_hash, key in keys.items()
            if is_good(key, now=self._now()) and is_welcome(users.get(key.user))
        }
        for key_hash in hashes - good.keys():
            # Whoever has found a key that was taken back shall not use up its owner's share.
            self._owners.pop(key_hash, None)
        for key_hash, key in good.items():
            self._remember_owner(key_hash, key.user)
            self._note_use(key)
        # One who asks many times at once shows the same token, which is read once.
        known: dict[int, Caller | NotAuthenticatedError] = {}
        for each in bearers:
            if id(each) not in known:
                known[id(each)] = _caller_of(each, users, good)
        return [known[id(each)] for each in bearers]

    def sign_out(self, name: str) -> None:
        """End every session and every token of a user, wherever they are.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._ledger.users.sign_out(name)
        logger.info("a user signed out", extra={"user": name})

    def _remember_owner(self, key_hash: str, owner: str) -> None:
        if len(self._owners) >= _MOST_OWNERS:
            # Each is found again with its next request.
            self._owners.clear()
        self._owners[key_hash] = owner

    def _note_use(self, key: ApiKey) -> None:
        try:
            self._ledger.keys.note_use(key)
        except LedgerUnavailableError:
            # A full disk takes no note, and is no reason to refuse who only reads.
            logger.warning("the use of a key was not noted", extra={"key_id": key.id})

    def _find(self, name: str) -> User | None:
        # No database takes these in a text, and no user has them in the name.
        if "\0" in name or not name.isprintable() or len(name) > 64:
            return None
        return self._ledger.users.find(name)


def is_welcome(user: User | None) -> bool:
    """Whether somebody may come in at all."""
    return user is not None and not user.is_disabled


def _caller_of(
    bearer: Bearer, users: Mapping[str, User], keys: Mapping[str, ApiKey]
) -> Caller | NotAuthenticatedError:
    if isinstance(bearer, KeyClaims):
        key = keys.get(bearer.key_hash)
        if key is None:
            return NotAuthenticatedError("the key is not good")
        return Caller.from_key(users[key.user], key)
    user = users.get(bearer.user_name)
    if user is None or user.is_disabled or user.token_version != bearer.token_version:
        return NotAuthenticatedError("the token is no longer good")
    return Caller.from_user(user)
