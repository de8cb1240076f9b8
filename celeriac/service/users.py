"""Who may sign in: adding users and changing what is known of them."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Protocol

from celeriac.core.user import Role, User
from celeriac.errors import (
    InvalidOptionError,
    PasswordLinkNotFoundError,
    UserNotFoundError,
    WeakPasswordError,
)
from celeriac.service.passwords import Hasher, weakness

logger = logging.getLogger(__name__)

# Fit for a URL, a log line and a rate limit's key as it stands.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_NAME_RULE = "1 to 64 letters, digits and . _ @ + -, beginning with a letter or a digit"
# Of a password that nobody is told.
_UNKNOWN_BYTES = 32


class UserLedger(Protocol):
    """What is used of the ledger's users."""

    def add(self, name: str, password_hash: str, role: Role) -> User:
        """Keep a new user; UserExistsError when the name is taken."""
        ...

    def find(self, name: str) -> User | None:
        """Return the user of a name."""
        ...

    def set_password(self, name: str, password_hash: str) -> None:
        """Keep another hash, and end every session that the old one opened."""
        ...

    def replace_password(self, name: str, old_hash: str, new_hash: str) -> bool:
        """Do so if the old hash is still kept; False when it is not."""
        ...


class HasUsers(Protocol):
    """A ledger, as far as users are concerned."""

    @property
    def users(self) -> UserLedger:
        """Its users."""
        ...


class UserService:
    """Adds users and changes their passwords."""

    def __init__(self, ledger: HasUsers, hasher: Hasher) -> None:
        self._ledger = ledger
        self._hasher = hasher

    def add_user(
        self, name: str, password: str, *, role: Role = Role.SUBMITTER, allow_weak: bool = False
    ) -> User:
        """Add someone who may sign in.

        Args:
            name: 1 to 64 letters, digits and `. _ @ + -`; upper and lower case differ.
            password: At least 12 characters, not the name, not well known.
            role: What the user may do.
            allow_weak: Take any password that is not empty, for a walk-through on a laptop.

        Raises:
            InvalidOptionError: The name cannot be a user's.
            WeakPasswordError: The password is not good enough.
            UserExistsError: The name is taken.
        """
        if not _NAME.fullmatch(name):
            raise InvalidOptionError("name", _NAME_RULE)
        self._check_password(name, password, allow_weak=allow_weak)
        return self._add(name, password, role)

    def invite_user(self, name: str, *, role: Role = Role.SUBMITTER) -> User:
        """Add someone who has yet to choose a password, by a link: nobody knows the one they have.

        Raises:
            InvalidOptionError: The name cannot be a user's.
            UserExistsError: The name is taken.
        """
        if not _NAME.fullmatch(name):
            raise InvalidOptionError("name", _NAME_RULE)
        return self._add(name, secrets.token_urlsafe(_UNKNOWN_BYTES), role)

    def _add(self, name: str, password: str, role: Role) -> User:
        user = self._ledger.users.add(name, self._hasher.hash(password), role)
        logger.info("a user was added", extra={"user": name, "role": role.value})
        return user

    def set_password(self, name: str, password: str, *, allow_weak: bool = False) -> None:
        """Give a user another password, and end every session of theirs.

        Raises:
            UserNotFoundError: There is no such user.
            WeakPasswordError: The password is not good enough.
        """
        if self._ledger.users.find(name) is None:
            raise UserNotFoundError(name)
        self._check_password(name, password, allow_weak=allow_weak)
        self._ledger.users.set_password(name, self._hasher.hash(password))
        logger.info("a user's password was changed", extra={"user": name})

    def choose_password(self, user: User, password: str) -> None:
        """Give a user the password they chose by a link, unless they got another one meanwhile.

        Args:
            user: The user as they were when the link was found good.
            password: As `set_password`.

        Raises:
            PasswordLinkNotFoundError: The password is not the one that the link was to replace.
            WeakPasswordError: The password is not good enough.
        """
        self._check_password(user.name, password, allow_weak=False)
        new_hash = self._hasher.hash(password)
        # Hashing takes long enough for somebody else to set one.
        if not self._ledger.users.replace_password(user.name, user.password_hash, new_hash):
            raise PasswordLinkNotFoundError
        logger.info("a user's password was changed", extra={"user": user.name})

    def _check_password(self, name: str, password: str, *, allow_weak: bool) -> None:
        if not password:
            raise WeakPasswordError("empty")
        reason = weakness(name, password)
        if reason is not None and not allow_weak:
            raise WeakPasswordError(reason)
