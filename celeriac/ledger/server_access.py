"""PostgreSQL, in as few trips to it as there can be.

An idle server and an idle process wake each other once per trip, and that is most of what a lone
task's way through the ledger takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.ledger import libpq
from celeriac.ledger.connections import Connections
from celeriac.ledger.driver import execute
from celeriac.ledger.transaction import Act, Doubt, Shape, T, transact

# To plan a claim or a completion takes PostgreSQL as long as to write twenty rows. Statements that
# find rows by their ids need it only once: with the scan of a whole table ruled out, or of a whole
# index that happens to have the id in it, a plan that was made for a small one walks the same
# index when it is large.
_ONCE = (
    "SET {local} plan_cache_mode = force_generic_plan;"
    " SET {local} enable_seqscan = off;"
    " SET {local} enable_indexonlyscan = off"
)
# As every connection begins: see `engines`.
_ANEW = (
    "SET {local} plan_cache_mode = force_custom_plan;"
    " SET {local} enable_seqscan = DEFAULT;"
    " SET {local} enable_indexonlyscan = DEFAULT"
)
# What a connection's statements are told while it lives.
_PLANS_ONCE = "celeriac_plans_once"


class ServerAccess:
    """A database that falls alone: whoever works with it may well live on."""

    def read(self, connections: Connections, act: Act[T], *, shape: Shape) -> T:
        """Run something that only reads, each statement for itself."""
        with connections.use() as connection:
            if shape is Shape.ANY:
                _plan(connection, once=False)
            return act(connection)

    def write(self, connections: Connections, act: Act[T], doubt: Doubt, *, shape: Shape) -> T:
        """Run something in a transaction that is on the disk before anybody sees it."""
        with connections.use() as connection:
            if shape is Shape.ALONE and _is_quiet(connection):
                return _write_alone(connection, act, doubt)
            is_once = shape is not Shape.ANY
            begin = "BEGIN"
            if is_once is not _plans_once(connection):
                begin = f"BEGIN; {_words(once=is_once, local=True)}"
            return transact(connection, act, doubt, begin=begin)

    def write_ahead(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        shape: Shape,
        seen: Callable[[T], None],
    ) -> T:
        """Run something in a transaction like any other, and tell of it.

        PostgreSQL can be made to show a commit before it is on the disk, and to bring it there by
        a second one. Measured, that was slower, and much slower for one in a hundred: it makes the
        server write to its disk once more for each task.
        """
        value = self.write(connections, act, doubt, shape=shape)
        seen(value)
        return value

    def write_passing(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        shape: Shape,
        is_promise: Callable[[T], bool],
    ) -> T:
        """Run something in a transaction like any other.

        What need not be on the disk, its statement says itself: see `claims`.
        """
        return self.write(connections, act, doubt, shape=shape)

    @property
    def is_awaited(self) -> bool:
        """Never: writers of a server wait for rows alone."""
        return False

    def open(self) -> None:
        """Have nothing to make: a server is there or it is not."""

    def forget(self) -> None:
        """Have nothing beside the connections to forget."""

    def close(self) -> None:
        """Have nothing beside the connections to let go of."""


def _write_alone(connection: Connection, act: Act[T], doubt: Doubt) -> T:
    """Run an act whose one writing statement begins and ends a transaction by itself."""
    _plan(connection, once=True)
    # From here on the answer to a commit may be lost.
    doubt.is_commit_sent = True
    try:
        return act(connection)
    except DBAPIError as error:
        # Whoever is told by the server itself that it refused knows that nothing was written.
        is_refused = getattr(error.orig, "sqlstate", None) is not None
        doubt.is_commit_sent = error.connection_invalidated or not is_refused
        raise


def _is_quiet(connection: Connection) -> bool:
    """Whether the server has said nothing since it was last spoken to.

    What it says unasked is mostly that it hung up, while nobody looked. A BEGIN finds that out with
    nothing at stake, and the write is tried again; after a statement that writes, nobody would know
    whether it did.
    """
    driver: Any = connection.connection.driver_connection
    return not libpq.is_readable(driver.pgconn.socket)


def _plans_once(connection: Connection) -> bool:
    return bool(connection.info.get(_PLANS_ONCE))


def _plan(connection: Connection, *, once: bool) -> None:
    if once is not _plans_once(connection):
        execute(connection, _words(once=once, local=False))
        connection.info[_PLANS_ONCE] = once


def _words(*, once: bool, local: bool) -> str:
    return (_ONCE if once else _ANEW).format(local="LOCAL" if local else "SESSION")
