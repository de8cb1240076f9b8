"""Links by which users choose their passwords themselves: each good once, and for a day.

So nobody has to think of a password for somebody else, or to send one. The ledger keeps a link's
hash alone, so whoever reads the ledger cannot use it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol

from celeriac.core.user import User
from celeriac.errors import CeleriacError, PasswordLinkNotFoundError, UserNotFoundError
from celeriac.service.start_links import LinkLedger

logger = logging.getLogger(__name__)

LIFETIME = timedelta(hours=24)
# How its secret begins, so that it is not taken for the first admin's, which has no full stop.
_MARK = "user."
_SECRET_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """A link as it is kept."""

    hash: str
    # In seconds since 1970.
    ends_at: float
    # The hash of the password's hash that it is to replace: with any other one it is void.
    instead_of: str


_NO_LINK = _Link(hash="", ends_at=0.0, instead_of="")


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
        user = self._active(name)
        if user is None:
            raise UserNotFoundError(name)
        secret = f"{_MARK}{_coded(name)}.{secrets.token_urlsafe(_SECRET_BYTES)}"
        link = _Link(
            hash=_hash(secret),
            ends_at=(self._now() + LIFETIME).timestamp(),
            instead_of=_hash(user.password_hash),
        )
        # One for each user: whatever stood there is void.
        self._ledger.settings.put(_setting(name), json.dumps(asdict(link)))
        logger.info("a link to choose a password was made", extra={"user": name})
        return secret

    def check(self, secret: str) -> str:
        """Return the name of the user whose link it is.

        Raises:
            PasswordLinkNotFoundError: It was never made or has been used, a newer one was made,
                its time is over, or its user has got another password or is let in no more.
        """
        user, _ = self._find(secret)
        return user.name

    def spend(self, secret: str, set_password: Callable[[User], None]) -> User:
        """Have a link's user choose a password, and let nobody else do so with it.

        Args:
            secret: The link's.
            set_password: Does it for the user as found; what it raises leaves the link good.

        Raises:
            PasswordLinkNotFoundError: As `check`.
        """
        found, kept = self._find(secret)
        name, settings = found.name, self._ledger.settings
        # Of two who come at once, one takes it away.
        if not settings.remove_if(_setting(name), kept):
            raise PasswordLinkNotFoundError
        try:
            set_password(found)
        except CeleriacError:
            # Unless a newer one was made meanwhile.
            settings.put_first(_setting(name), kept)
            raise
        user = self._active(name)
        if user is None:
            raise PasswordLinkNotFoundError
        logger.info("a user chose a password by a link", extra={"user": name})
        return user

    def _find(self, secret: str) -> tuple[User, str]:
        """Return whose link it is, and how it is kept."""
        name = _name_in(secret)
        kept = self._ledger.settings.find(_setting(name))
        link = _Link(**json.loads(kept)) if kept else _NO_LINK
        is_known = hmac.compare_digest(link.hash, _hash(secret))
        user = self._active(name)
        if (
            kept is None
            or user is None
            or not is_known
            or link.ends_at <= self._now().timestamp()
            or not hmac.compare_digest(link.instead_of, _hash(user.password_hash))
        ):
            raise PasswordLinkNotFoundError
        return user, kept

    def _active(self, name: str) -> User | None:
        user = self._ledger.users.find(name)
        return None if user is None or user.is_disabled else user


def is_password_link(secret: str) -> bool:
    """Return whether a secret is of these links, and not the first admin's."""
    return secret.startswith(_MARK)


def _coded(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _name_in(secret: str) -> str:
    """Return the name in a link's secret.

    Raises:
        PasswordLinkNotFoundError: There is none: it was never made.
    """
    coded = secret.removeprefix(_MARK).partition(".")[0]
    try:
        name = urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except ValueError:
        raise PasswordLinkNotFoundError from None
    if "\0" in name:
        raise PasswordLinkNotFoundError
    return name


def _hash(secret: str) -> str:
    # Random enough that nobody tries them all, so a fast hash is a good one.
    return hashlib.sha256(secret.encode("utf-8", errors="surrogatepass")).hexdigest()


def _setting(name: str) -> str:
    return f"password_link_of:{name}"
