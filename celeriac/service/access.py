"""Letting people in: a password becomes a token, a token becomes a caller."""

from __future__ import annotations

import logging
from typing import Protocol

from celeriac.core.user import User
from celeriac.errors import NotAuthenticatedError
from celeriac.service.callers import Caller
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


class HasSignInUsers(Protocol):
    """A ledger, as far as signing in is concerned."""

    @property
    def users(self) -> SignInLedger:
        """Its users."""
        ...


class AccessService:
    """Signs people in and says who stands behind a token."""

    def __init__(self, ledger: HasSignInUsers, hasher: Hasher, tokens: Tokens) -> None:
        self._ledger = ledger
        self._hasher = hasher
        self._tokens = tokens

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

    def read_token(self, text: str) -> Claims:
        """Return what a token says, without asking the ledger.

        Raises:
            NotAuthenticatedError: It is not good.
        """
        return self._tokens.read(text)

    def admit(self, claims: Claims) -> Caller:
        """Return the caller behind a token's claims, as the ledger knows them now.

        Raises:
            NotAuthenticatedError: The user is gone or disabled, or the session was ended.
        """
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

    def _find(self, name: str) -> User | None:
        # No database takes these in a text, and no user has them in the name.
        if "\0" in name or not name.isprintable() or len(name) > 64:
            return None
        return self._ledger.users.find(name)
