"""One transaction on one connection, and whether it may have been committed.

Both databases run in their drivers' autocommit mode, and BEGIN and COMMIT are said here, so that it
is known at each moment whether a transaction may already have been committed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from celeriac.ledger.connections import Connections
from celeriac.ledger.driver import execute

T = TypeVar("T")
Act = Callable[[Connection], T]


class Doubt:
    """Whether a transaction may have been committed although its writer saw an error."""

    __slots__ = ("is_commit_sent",)

    def __init__(self) -> None:
        self.is_commit_sent = False


class Shape(Enum):
    """What is known of an act's statements before they run."""

    ANY = "any"
    # All of them find their rows by ids: PostgreSQL may plan them at their first run only.
    BY_ID = "by id"
    # And one of them writes all that the act writes: to PostgreSQL it is a transaction by itself.
    ALONE = "alone"


class Access(Protocol):
    """How one kind of database is used; each call is one try, with a new `Doubt` if it writes."""

    def read(self, connections: Connections, act: Act[T], *, shape: Shape) -> T:
        """Read, each statement for itself."""

    def write(self, connections: Connections, act: Act[T], doubt: Doubt, *, shape: Shape) -> T:
        """Write what is on the disk before anybody sees it."""

    def write_ahead(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        shape: Shape,
        seen: Callable[[T], None],
    ) -> T:
        """Write what others see before it is on the disk."""

    def write_passing(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        shape: Shape,
        is_promise: Callable[[T], bool],
    ) -> T:
        """Write what need not be on the disk unless it turns out to be a promise."""

    @property
    def is_awaited(self) -> bool:
        """Whether writers for whose end somebody waits had to wait for this process lately."""

    def open(self) -> None:
        """Make what is missing before the first use."""

    def forget(self) -> None:
        """Start afresh in a forked child, whose parent may be in the middle of something."""

    def close(self) -> None:
        """Let go of everything; a later call opens it again."""


def transact(
    connection: Connection, act: Act[T], doubt: Doubt, *, begin: str, commit: str = "COMMIT"
) -> T:
    """Run something between a BEGIN and a COMMIT, however they are said."""
    execute(connection, begin)
    try:
        value = act(connection)
        doubt.is_commit_sent = True
        execute(connection, commit)
    except BaseException:
        if not connection.invalidated:
            with contextlib.suppress(SQLAlchemyError):
                execute(connection, "ROLLBACK")
        raise
    return value
