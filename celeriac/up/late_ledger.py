"""The ledger, opened while the programs start: importing what it stands on takes half a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from celeriac.core.user import User
from celeriac.core.worker import Worker
from celeriac.errors import LedgerUnavailableError


class _Leases(Protocol):
    def workers(self) -> tuple[Worker, ...]: ...


class _Users(Protocol):
    def list(self) -> tuple[User, ...]: ...


class _Ledger(Protocol):
    @property
    def leases(self) -> _Leases: ...

    @property
    def users(self) -> _Users: ...

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

    def close(self) -> None:
        """Close the ledger if it was opened."""
        if self._ledger is not None:
            self._ledger.close()
