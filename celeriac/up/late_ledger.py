"""The ledger, opened while the programs start: importing what it stands on takes half a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from celeriac.core.api_key import ApiKey
from celeriac.core.moments import utc_now
from celeriac.core.user import Role, User
from celeriac.core.worker import Worker
from celeriac.engine.garbage import kept_for_good
from celeriac.errors import LedgerUnavailableError
from celeriac.service.local_profile import keep_local_profile
from celeriac.service.start_links import LinkLedger, StartLinks

logger = logging.getLogger(__name__)


class _Leases(Protocol):
    def workers(self) -> tuple[Worker, ...]: ...


class _Users(Protocol):
    def list(self) -> tuple[User, ...]: ...

    def find(self, name: str) -> User | None: ...

    def add(self, name: str, password_hash: str, role: Role) -> User: ...


class _Keys(Protocol):
    def add(self, key: ApiKey, key_hash: str) -> None: ...

    def list(self, user: str) -> tuple[ApiKey, ...]: ...

    def revoke(self, key_id: str) -> bool: ...

    def is_any_used(self, user: str) -> bool: ...

    def find_by_hash(self, key_hash: str) -> ApiKey | None: ...


class _Ledger(Protocol):
    @property
    def leases(self) -> _Leases: ...

    @property
    def users(self) -> _Users: ...

    @property
    def keys(self) -> _Keys: ...

    @property
    def settings(self) -> LinkLedger: ...

    def close(self) -> None: ...


class LateLedger:
    """What `up` reads of the ledger, once it is open."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ledger: _Ledger | None = None

    def open(self) -> timedelta:
        """Open the ledger, brought up to date, and return how long that took.

        Raises:
            LedgerUnavailableError: It cannot be opened.
        """
        began = time.monotonic()
        if self._ledger is None:
            with kept_for_good():
                from celeriac.ledger.open import open_ledger

                self._ledger = open_ledger(self._url)
        return timedelta(seconds=time.monotonic() - began)

    def list_workers(self) -> Sequence[Worker]:
        """Return the workers that have joined; none while this cannot be told."""
        try:
            return () if self._ledger is None else self._ledger.leases.workers()
        except LedgerUnavailableError:
            return ()

    def list_users(self) -> Sequence[User]:
        """Return who may sign in.

        Raises:
            LedgerUnavailableError: It did not answer.
        """
        return () if self._ledger is None else self._ledger.users.list()

    def make_start_link(self) -> str | None:
        """Return the secret of a link for the first admin, None when there is one.

        Raises:
            LedgerUnavailableError: It did not answer.
        """
        if self._ledger is None:
            return None
        return StartLinks(self._ledger, now=utc_now).make()

    def keep_profile(self, data_dir: Path, *, url: str) -> None:
        """Let this machine's own command line in, without stopping when that cannot be."""
        if self._ledger is None:
            return
        try:
            keep_local_profile(self._ledger, data_dir, url=url, now=utc_now)
        except (LedgerUnavailableError, OSError):
            logger.warning("the profile of the command line was not written")

    def close(self) -> None:
        """Close the ledger if it was opened."""
        if self._ledger is not None:
            self._ledger.close()
