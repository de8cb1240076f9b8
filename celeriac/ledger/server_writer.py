"""Writing to PostgreSQL, in as few trips to it as there can be."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from celeriac.ledger.driver import execute
from celeriac.ledger.transaction import Act, Doubt, T, transact

# To plan a claim or a completion takes PostgreSQL as long as to write twenty rows. Statements that
# find rows by their ids need it only once: with the scan of a whole table ruled out, or of a whole
# index that happens to have the id in it, a plan that was made for a small one walks the same
# index when it is large.
_BEGIN_PLANNING_ONCE = (
    "BEGIN;"
    " SET LOCAL plan_cache_mode = force_generic_plan;"
    " SET LOCAL enable_seqscan = off;"
    " SET LOCAL enable_indexonlyscan = off"
)
# Others see it at once; the server brings it to the disk when it next brings something there.
_COMMIT_AHEAD = "SET LOCAL synchronous_commit = off; COMMIT"
# A commit is on the disk, and on the replicas that commits wait for, together with all before it.
# A transaction that has written nothing would not wait for them; a message in the server's log that
# nobody reads is the least that can be written.
_TO_THE_DISK = "SELECT pg_logical_emit_message(true, 'celeriac', '')"


class ServerWriter:
    """Writes to a database that falls alone: whoever works with it may well live on."""

    def write(self, engine: Engine, act: Act[T], doubt: Doubt, *, finds_by_id: bool = False) -> T:
        """Run something in a transaction that is on the disk before anybody sees it."""
        begin = _BEGIN_PLANNING_ONCE if finds_by_id else "BEGIN"
        with engine.connect() as connection:
            return transact(connection, act, doubt, begin=begin)

    def write_ahead(
        self, engine: Engine, act: Act[T], doubt: Doubt, *, seen: Callable[[T], None]
    ) -> T:
        """Run something in a transaction that others see before it is on the disk."""
        with engine.connect() as connection:
            value = transact(connection, act, doubt, begin="BEGIN", commit=_COMMIT_AHEAD)
            seen(value)
            execute(connection, _TO_THE_DISK)
            return value

    def write_passing(
        self,
        engine: Engine,
        act: Act[T],
        doubt: Doubt,
        *,
        is_promise: Callable[[T], bool],
        finds_by_id: bool = False,
    ) -> T:
        """Run something in a transaction like any other.

        Its worker lives on when the server falls: a claim that is forgotten then would take the
        result of a living worker away.
        """
        return self.write(engine, act, doubt, finds_by_id=finds_by_id)
