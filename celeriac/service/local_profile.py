"""The key by which this machine's own command line may ask its service, from the first start on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from celeriac.core.api_key import ApiKey
from celeriac.core.user import Role, Scope, User
from celeriac.errors import SettingsError
from celeriac.service.keys import KeyRequest, KeyService, hash_key, is_good
from celeriac.service.profiles import Profile, local_profile, read_profile, write_profile

# Whoever may read the data folder could sign any token; the key gives away nothing more.
LOCAL_USER = "local"
_SCOPES = frozenset({Scope.READ, Scope.SUBMIT, Scope.OPERATE})
# The hash of no password.
_NO_PASSWORD = "!"  # noqa: S105 - it lets nobody in


class KeyLedger(Protocol):
    """What is used of the ledger's keys."""

    def add(self, key: ApiKey, key_hash: str) -> None:
        """Keep a new key by its hash."""
        ...

    def list(self, user: str) -> tuple[ApiKey, ...]:
        """Return a user's keys, oldest first."""
        ...

    def revoke(self, key_id: str) -> bool:
        """Make a key good for nothing."""
        ...

    def is_any_used(self, user: str) -> bool:
        """Return whether a key of a user was ever used."""
        ...

    def find_by_hash(self, key_hash: str) -> ApiKey | None:
        """Return the key of a hash, good or not."""
        ...


class UserLedger(Protocol):
    """What is used of the ledger's users."""

    def add(self, name: str, password_hash: str, role: Role) -> User:
        """Keep a new user."""
        ...

    def find(self, name: str) -> User | None:
        """Return the user of a name."""
        ...


class Ledger(Protocol):
    """A ledger, as far as this machine's own key is concerned."""

    @property
    def keys(self) -> KeyLedger:
        """Its keys."""
        ...

    @property
    def users(self) -> UserLedger:
        """Its users."""
        ...


def keep_local_profile(
    ledger: Ledger, data_dir: Path, *, url: str, now: Callable[[], datetime]
) -> None:
    """See to it that the data folder's profile names this service and a key that is good.

    A key that is still good stays. Where the local user was disabled, nothing is written.

    Raises:
        LedgerUnavailableError: The ledger did not answer.
        OSError: The profile cannot be written.
    """
    path = local_profile(data_dir)
    try:
        found = read_profile(path)
    except SettingsError:
        # Half a file of an earlier start: it is written anew.
        found = None
    user = ledger.users.find(LOCAL_USER)
    if user is not None and user.is_disabled:
        return
    key = found.key if found is not None and _is_known(ledger, found.key, now()) else None
    if key is None:
        if user is None:
            ledger.users.add(LOCAL_USER, _NO_PASSWORD, Role.OPERATOR)
        request = KeyRequest(user=LOCAL_USER, label="this machine", scopes=_SCOPES)
        key = KeyService(ledger, now=now).create_key(request).text
    wanted = Profile(url=url, key=key)
    if wanted != found:
        write_profile(path, wanted)


def _is_known(ledger: Ledger, text: str, at: datetime) -> bool:
    key = ledger.keys.find_by_hash(hash_key(text))
    return key is not None and is_good(key, now=at)
