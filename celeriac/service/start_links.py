"""The link that makes the first admin: good once, and not for long.

The ledger keeps its hash alone, so whoever reads the ledger cannot use it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from celeriac.core.user import Role, User
from celeriac.errors import CeleriacError, StartLinkNotFoundError, StartLinkUsedError

logger = logging.getLogger(__name__)

Json = Any

LIFETIME = timedelta(minutes=30)
_SETTING = "start_link"
_SECRET_BYTES = 24


class LinkLedger(Protocol):
    """What is used of the ledger's settings."""

    def find(self, name: str) -> str | None:
        """Return a setting's value."""
        ...

    def put(self, name: str, value: str) -> None:
        """Set it."""
        ...

    def put_first(self, name: str, value: str) -> str:
        """Set it if nobody has; return what it is set to."""
        ...

    def remove_if(self, name: str, value: str) -> bool:
        """Unset it if it is set to a value; False when it was not."""
        ...


class UserList(Protocol):
    """What is used of the ledger's users."""

    def list(self) -> Sequence[User]:
        """Return every user."""
        ...


class HasStartLinks(Protocol):
    """A ledger, as far as the first admin is concerned."""

    @property
    def settings(self) -> LinkLedger:
        """Its settings."""
        ...

    @property
    def users(self) -> UserList:
        """Its users."""
        ...


class StartLinks:
    """Makes the link and spends it."""

    def __init__(self, ledger: HasStartLinks, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now

    def has_admin(self) -> bool:
        """Return whether there is an admin: then no link makes one any more."""
        return any(user.role is Role.ADMIN for user in self._ledger.users.list())

    def make(self) -> str | None:
        """Return the secret of a new link, None when there is an admin; an older one is void."""
        if self.has_admin():
            return None
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        ends_at = (self._now() + LIFETIME).timestamp()
        self._put({"hash": _hash(secret), "ends_at": ends_at, "is_used": False})
        return secret

    def check(self, secret: str) -> None:
        """Return if a link is good.

        Raises:
            StartLinkNotFoundError: It was never made, or its time is over.
            StartLinkUsedError: It has been used, or an admin was made without it.
        """
        text = self._ledger.settings.find(_SETTING)
        kept: Json = json.loads(text) if text else {"hash": ""}
        if not hmac.compare_digest(kept["hash"], _hash(secret)):
            raise StartLinkNotFoundError
        if kept["is_used"] or self.has_admin():
            raise StartLinkUsedError
        if kept["ends_at"] <= self._now().timestamp():
            raise StartLinkNotFoundError

    def spend(self, secret: str, make_admin: Callable[[], User]) -> User:
        """Make the first admin by a link, and let nobody else do so.

        Args:
            secret: The link's.
            make_admin: Adds the user; what it raises leaves the link good.

        Raises:
            StartLinkNotFoundError: It was never made, or its time is over.
            StartLinkUsedError: It has been used.
        """
        self.check(secret)
        kept = self._ledger.settings.find(_SETTING)
        # Of two who come at once, one takes it away.
        if kept is None or not self._ledger.settings.remove_if(_SETTING, kept):
            raise StartLinkUsedError
        try:
            admin = make_admin()
        except CeleriacError:
            # Unless a newer one was made meanwhile.
            self._ledger.settings.put_first(_SETTING, kept)
            raise
        self._put({"hash": _hash(secret), "ends_at": 0, "is_used": True})
        logger.info("the first admin was made", extra={"user": admin.name})
        return admin

    def _put(self, value: Json) -> None:
        self._ledger.settings.put(_SETTING, json.dumps(value))


def _hash(secret: str) -> str:
    # Random enough that nobody tries them all, so a fast hash is a good one.
    return hashlib.sha256(secret.encode("utf-8", errors="surrogatepass")).hexdigest()
