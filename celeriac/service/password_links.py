"""Links by which users choose their passwords themselves: each good once, and for a day.

So nobody has to think of a password for somebody else, or to send one. The ledger keeps a link's
hash alone, so whoever reads the ledger cannot use it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from celeriac.core.user import User
from celeriac.errors import CeleriacError, PasswordLinkNotFoundError, UserNotFoundError
from celeriac.service.start_links import LinkLedger

logger = logging.getLogger(__name__)

LIFETIME = timedelta(hours=24)
# How its secret begins, so that it is not taken for the first admin's, which has no full stop.
_MARK = "user."
_SECRET_BYTES = 24


class UserFinder(Protocol):
    """What is used of the ledger's users."""

    def find(self, name: str) -> User | None:
        """Return the user of a name."""
        ...


class HasPasswordLinks(Protocol):
    """A ledger, as far as these links are concerned."""

    @property
    def settings(self) -> LinkLedger:
        """Its settings."""
        ...

    @property
    def users(self) -> UserFinder:
        """Its users."""
        ...


class PasswordLinks:
    """Makes the links and spends them."""

    def __init__(self, ledger: HasPasswordLinks, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now

    def make(self, name: str) -> str:
        """Return the secret of a new link for a user; an older one of theirs is void.

        Raises:
            UserNotFoundError: There is no such user, or nobody lets them in any more.
        """
        if self._active(name) is None:
            raise UserNotFoundError(name)
        secret = _MARK + secrets.token_urlsafe(_SECRET_BYTES)
        settings = self._ledger.settings
        older = settings.find(_pointer(name))
        if older is not None:
            settings.remove(older)
        ends_at = (self._now() + LIFETIME).timestamp()
        settings.put(_key(secret), json.dumps({"user": name, "ends_at": ends_at}))
        settings.put(_pointer(name), _key(secret))
        logger.info("a link to choose a password was made", extra={"user": name})
        return secret

    def check(self, secret: str) -> str:
        """Return the name of the user whose link it is.

        Raises:
            PasswordLinkNotFoundError: It was never made or has been used, a newer one was made,
                its time is over, or its user is let in no more.
        """
        kept: Any = json.loads(self._ledger.settings.find(_key(secret)) or "null")
        if kept is None or kept["ends_at"] <= self._now().timestamp():
            raise PasswordLinkNotFoundError
        if self._active(kept["user"]) is None:
            raise PasswordLinkNotFoundError
        name: str = kept["user"]
        return name

    def spend(self, secret: str, set_password: Callable[[str], None]) -> User:
        """Have a link's user choose a password, and let nobody else do so with it.

        Args:
            secret: The link's.
            set_password: Does it for the user of a name; what it raises leaves the link good.

        Raises:
            PasswordLinkNotFoundError: As `check`.
        """
        name = self.check(secret)
        settings = self._ledger.settings
        kept = settings.find(_key(secret))
        # Of two who come at once, one takes it away.
        if kept is None or not settings.remove(_key(secret)):
            raise PasswordLinkNotFoundError
        try:
            set_password(name)
        except CeleriacError:
            settings.put(_key(secret), kept)
            raise
        user = self._active(name)
        if user is None:
            raise PasswordLinkNotFoundError
        logger.info("a user chose a password by a link", extra={"user": name})
        return user

    def _active(self, name: str) -> User | None:
        user = self._ledger.users.find(name)
        return None if user is None or user.is_disabled else user


def is_password_link(secret: str) -> bool:
    """Return whether a secret is of these links, and not the first admin's."""
    return secret.startswith(_MARK)


def _key(secret: str) -> str:
    # Random enough that nobody tries them all, so a fast hash is a good one.
    text = secret.encode("utf-8", errors="surrogatepass")
    return f"password_link:{hashlib.sha256(text).hexdigest()}"


def _pointer(name: str) -> str:
    return f"password_link_of:{name}"
