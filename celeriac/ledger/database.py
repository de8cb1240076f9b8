"""The connections to one database: reads, writes, and what its errors mean here.

Both databases run in their drivers' autocommit mode, and a write says BEGIN and COMMIT itself, so
that it is known at each moment whether a transaction may already have been committed.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from celeriac.errors import CommitInDoubtError, InvalidOptionError, LedgerUnavailableError
from celeriac.ledger.ahead import IS_POSSIBLE, Ahead
from celeriac.ledger.driver import execute
from celeriac.ledger.engines import TURN_SECONDS, identity_of, make_engine, make_file, read_url
from celeriac.ledger.line import LineTooLongError, WritersLine

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
        self._path = "" if self.file is None else str(self.file)
        self._line: WritersLine | None = None
        self._line_lock = threading.Lock()
        # Which file a SQLite database's path named when it was opened; None before that.
        self._identity: tuple[int, int] | None = None
        self._engine = make_engine(self.url)
        _alive.add(self)

    @property
    def engine(self) -> Engine:
        """The engine, for statements to be compiled and run by."""
        return self._engine

    def read(self, act: Callable[[Connection], T]) -> T:
        """Run something that only reads, each statement for itself.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                self._check_file()
                with self._engine.connect() as connection:
                    return act(connection)
            except (SQLAlchemyError, OSError) as error:
                if not (left and _is_worth_another_try(error)):
                    raise self._unavailable(error) from error
        raise AssertionError("the last try returns or raises")

    def write(self, act: Callable[[Connection], T]) -> T:
        """Run something in one transaction, again if it could not have been committed.

        Raises:
            CommitInDoubtError: The answer to the COMMIT was lost.
            LedgerUnavailableError: The database did not answer; nothing was written.
            RefusedRowError: A row breaks a rule of the tables; nothing was written.
        """
        return self._write(lambda doubt: self._write_once(act, doubt))

    def write_ahead(self, act: Callable[[Connection], T], seen: Callable[[T], bool]) -> T:
        """Run something in one transaction that others may see before it is on the disk.

        A power cut may take it back although others have seen it. So it is for what promises
        nothing to anybody before this returns.

        Args:
            act: What is run.
            seen: Called once when others see what was written; returns whether to wait for the
                disk. If not, it is there by the next write that waits.

        Raises:
            CommitInDoubtError: As `write`; or the disk did not take what others see.
            LedgerUnavailableError: As `write`.
            RefusedRowError: As `write`.
        """
        return self._write(lambda doubt: self._write_ahead_once(act, seen, doubt))

    def _write_once(self, act: Callable[[Connection], T], doubt: _Doubt) -> T:
        with self._turn():
            self._check_file()
            with self._engine.connect() as connection:
                return self._transact(connection, act, doubt)

    def _write_ahead_once(
        self, act: Callable[[Connection], T], seen: Callable[[T], bool], doubt: _Doubt
    ) -> T:
        if self.file is None or not IS_POSSIBLE:
            value = self._write_once(act, doubt)
            seen(value)
            return value
        with Ahead(self._path) as ahead:
            with self._turn():
                self._check_file()
                with self._engine.connect() as connection:
                    value = self._transact(connection, act, doubt, ahead)
            # The turn is another one's by now.
            if seen(value):
                ahead.sync()
            return value

    def _write(self, attempt: Callable[[_Doubt], T]) -> T:
        for left in range(_TRIES - 1, -1, -1):
            doubt = _Doubt()
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

    def forget(self) -> None:
        """Start afresh in a forked child, leaving the parent's connections untouched.

        Closing SQLite's handles here could end the parent's write-ahead log, and closing
        PostgreSQL's would end its sessions; so they are kept for as long as the process lives.
        """
        _immortalise(self._engine)
        self._line_lock = threading.Lock()
        if self._line is not None:
            self._line.close()
            self._line = None
        self._engine = make_engine(self.url)

    def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        self._engine.dispose()
        if self._line is not None:
            self._line.close()
            self._line = None
        self._identity = None

    def _turn(self) -> AbstractContextManager[None]:
        if self.file is None:
            return nullcontext()
        return self.line().turn(timeout_seconds=TURN_SECONDS)

    def line(self) -> WritersLine:
        """Return the line in which this machine's writers of a SQLite file stand."""
        with self._line_lock:
            if self._line is None:
                path = Path(self._path)
                try:
                    # A child opens the file of its parent, and makes no other in its place.
                    if self._identity is None:
                        make_file(path)
                        self._identity = identity_of(self._path)
                    self._line = WritersLine(path)
                except OSError as error:
                    raise LedgerUnavailableError(f"{path}: {error.strerror}") from error
            return self._line

    def _check_file(self) -> None:
        """Refuse a path that names another file than the open one, or none.

        What is written to a file that was removed is lost when the last process closes it.
        """
        if self._identity is None or identity_of(self._path) == self._identity:
            return
        raise LedgerUnavailableError(
            f"{self._path}: it was removed or replaced while it was in use"
        )

    def _unavailable(self, error: BaseException) -> LedgerUnavailableError:
        # A server's name stands in what its driver says; SQLite names no file.
        where = "" if self.file is None else f"{self.file}: "
        return LedgerUnavailableError(where + _sentence(error))

    def _transact(
        self,
        connection: Connection,
        act: Callable[[Connection], T],
        doubt: _Doubt,
        ahead: Ahead | None = None,
    ) -> T:
        if ahead is not None:
            ahead.before(connection)
        try:
            execute(connection, "BEGIN IMMEDIATE" if self.file is not None else "BEGIN")
            try:
                if ahead is not None:
                    ahead.begun()
                value = act(connection)
                doubt.is_commit_sent = True
                execute(connection, "COMMIT")
            except BaseException:
                if not connection.invalidated:
                    with contextlib.suppress(SQLAlchemyError):
                        execute(connection, "ROLLBACK")
                raise
        finally:
            if ahead is not None and not connection.invalidated:
                ahead.after(connection)
        return value


class _Doubt:
    """Whether a transaction may have been committed although its writer saw an error."""

    __slots__ = ("is_commit_sent",)

    def __init__(self) -> None:
        self.is_commit_sent = False


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
