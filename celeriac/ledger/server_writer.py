"""Writing to PostgreSQL, in as few trips to it as there can be."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

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
        """Run something in a transaction like any other, and tell of it.

        PostgreSQL can be made to show a commit before it is on the disk, and to bring it there by
        a second one. Measured, that was slower, and much slower for one in a hundred: it makes the
        server write to its disk once more for each task.
        """
        # What comes in is inserted, or found by its id.
        value = self.write(engine, act, doubt, finds_by_id=True)
        seen(value)
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
