"""The connections to one database: reads, writes, and what its errors mean here."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from celeriac.errors import CommitInDoubtError, InvalidOptionError, LedgerUnavailableError
from celeriac.ledger.connections import Connections
from celeriac.ledger.engines import make_engine, read_url
from celeriac.ledger.file_access import FileAccess
from celeriac.ledger.line import LineTooLongError
from celeriac.ledger.server_access import ServerAccess
from celeriac.ledger.transaction import Access, Act, Doubt, Shape, T

logger = logging.getLogger(__name__)

# A deadlock or a connection that had died while idle is worth another try; an outage is not.
_TRIES = 4
_RETRIED_SQLSTATES = frozenset({"40P01", "40001"})
# What is wrong is what was to be written.
_REFUSALS = (IntegrityError, DataError, ValueError, OverflowError)


class RefusedRowError(InvalidOptionError):
    """The database refused what was to be written: something in it is wrong, not the database."""

    def __init__(self, reason: str) -> None:
        super().__init__("value", f"cannot be kept: {reason}")
        self.reason = reason


class Database:
    """One database, usable from several threads at once."""

    def __init__(self, url: str) -> None:
        self.url = read_url(url)
        self.dialect = self.url.get_backend_name()
        # The file of a SQLite database; None for a server.
        self.file = Path(self.url.database or "") if self.dialect == "sqlite" else None
        self._access: Access = ServerAccess() if self.file is None else FileAccess(self.file)
        self._connections = Connections(make_engine(self.url))
        _alive.add(self)

    @property
    def engine(self) -> Engine:
        """The engine, for statements to be compiled and run by."""
        return self._connections.engine

    @property
    def losses(self) -> int:
        """How often this process found that the server had hung up on it."""
        return self._connections.losses

    @property
    def is_awaited(self) -> bool:
        """Whether others, for whose end somebody waits, had to wait for this process lately."""
        return self._access.is_awaited

    def read(self, act: Act[T], *, shape: Shape = Shape.ANY) -> T:
        """Run something that only reads, each statement for itself.

        Args:
            act: What is run.
            shape: What is known of its statements.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                return self._access.read(self._connections, act, shape=shape)
            except (SQLAlchemyError, OSError) as error:
                if not (left and _is_worth_another_try(error)):
                    raise self._unavailable(error) from error
        raise AssertionError("the last try returns or raises")

    def write(self, act: Act[T], *, shape: Shape = Shape.ANY) -> T:
        """Run something in one transaction, again if it could not have been committed.

        Args:
            act: What is run.
            shape: What is known of its statements.

        Raises:
            CommitInDoubtError: The answer to the COMMIT was lost.
            LedgerUnavailableError: The database did not answer; nothing was written.
            RefusedRowError: A row breaks a rule of the tables; nothing was written.
        """
        return self._write(
            lambda doubt: self._access.write(self._connections, act, doubt, shape=shape)
        )

    def write_ahead(self, act: Act[T], seen: Callable[[T], None], *, shape: Shape = Shape.ANY) -> T:
        """Run something in one transaction that others see before it is on the disk.

        A power cut may take it back although others have seen it. So it is for what promises
        nothing to anybody before this returns.

        Args:
            act: What is run.
            seen: Called once when others see what was written.
            shape: What is known of its statements.

        Raises:
            CommitInDoubtError: As `write`; or the disk did not take what others see.
            LedgerUnavailableError: As `write`.
            RefusedRowError: As `write`.
        """
        return self._write(
            lambda doubt: self._access.write_ahead(
                self._connections, act, doubt, shape=shape, seen=seen
            )
        )

    def write_passing(
        self, act: Act[T], is_promise: Callable[[T], bool], *, shape: Shape = Shape.ANY
    ) -> T:
        """Run something in one transaction that means nothing to anybody after a power cut.

        Args:
            act: What is run.
            is_promise: Tells of what was written whether it must be on the disk all the same. If
                not, it is there by the next write that waits for the disk.
            shape: What is known of its statements.

        Raises:
            CommitInDoubtError: As `write_ahead`.
            LedgerUnavailableError: As `write`.
            RefusedRowError: As `write`.
        """
        return self._write(
            lambda doubt: self._access.write_passing(
                self._connections, act, doubt, shape=shape, is_promise=is_promise
            )
        )

    def _write(self, attempt: Callable[[Doubt], T]) -> T:
        for left in range(_TRIES - 1, -1, -1):
            doubt = Doubt()
            try:
                return attempt(doubt)
            except _REFUSALS as error:
                raise RefusedRowError(_sentence(error)) from error
            except LineTooLongError as error:
                raise LedgerUnavailableError("other writers were in the way too long") from error
            except (SQLAlchemyError, OSError) as error:
                if doubt.is_commit_sent:
                    raise CommitInDoubtError(_sentence(error)) from error
                if not (left and _is_worth_another_try(error)):
                    raise self._unavailable(error) from error
                # Two that met in a deadlock shall not meet again at once.
                time.sleep(random.uniform(0, 0.005))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")

    def attempt(self, connection: Connection, act: Callable[[], T]) -> T:
        """Run a part of a transaction that may fail without the rest of it.

        Raises:
            RefusedRowError: A row breaks a rule of the tables; nothing of this part was written.
        """
        connection.exec_driver_sql("SAVEPOINT attempt")
        try:
            value = act()
        except BaseException as error:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT attempt")
                connection.exec_driver_sql("RELEASE SAVEPOINT attempt")
            if isinstance(error, _REFUSALS):
                raise RefusedRowError(_sentence(error)) from error
            raise
        connection.exec_driver_sql("RELEASE SAVEPOINT attempt")
        return value

    def make_file(self) -> None:
        """Make a SQLite database's file if it is not there, for nobody else's eyes.

        Raises:
            LedgerUnavailableError: There can be no such file.
        """
        self._access.open()

    def forget(self) -> None:
        """Start afresh in a forked child, leaving the parent's connections untouched.

        Closing SQLite's handles here could end the parent's write-ahead log, and closing
        PostgreSQL's would end its sessions; so they are kept for as long as the process lives.
        """
        _immortalise(self._connections)
        self._access.forget()
        self._connections = Connections(make_engine(self.url))

    def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        self._connections.close()
        self._access.close()

    def _unavailable(self, error: BaseException) -> LedgerUnavailableError:
        # A server's name stands in what its driver says; SQLite names no file.
        where = "" if self.file is None else f"{self.file}: "
        return LedgerUnavailableError(where + _sentence(error))


def _is_worth_another_try(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    return (
        error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _RETRIED_SQLSTATES
    )


def _sentence(error: BaseException) -> str:
    # Not str(error): SQLAlchemy adds the statement and its parameters, which may be secret.
    shown = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(shown).__name__}: {str(shown).partition(chr(10))[0]}"


def _immortalise(kept: object) -> None:
    _kept_for_ever.append(kept)
    # At its end the interpreter empties every module's list; this reference it never finds.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


_kept_for_ever: list[object] = []
_alive: weakref.WeakSet[Database] = weakref.WeakSet()


def _forget_all() -> None:
    for database in _alive:
        database.forget()


if hasattr(os, "register_at_fork"):
    # Whoever forks, and however: an inherited connection used in two processes corrupts data.
    os.register_at_fork(after_in_child=_forget_all)
