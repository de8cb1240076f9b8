"""The task names that workers know: kept once for all workers that know the same, and read once.

There may be thousands, and who has joined is asked for all the time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import timedelta

import orjson
from sqlalchemy import Connection, Delete, Insert, bindparam, delete, select

from celeriac.ledger.database import Database
from celeriac.ledger.incoming import WHOLE, among, insert_into, is_sound, words
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import repertoires, workers

# Nobody has them any more: kept so long that no worker can be joining with them now.
_KEPT_MICROS = timedelta(days=1) // timedelta(microseconds=1)


class Repertoires:
    """Sets of task names, each under a digest of its own."""

    def __init__(self, database: Database) -> None:
        self._dialect = dialect = database.dialect
        found = select(repertoires.c.digest, repertoires.c.names).where(
            among(dialect, repertoires.c.digest, "digests")
        )
        self._keep = Statement(database, lambda: _keep_statement(dialect))
        self._tidy = Statement(database, _tidy_statement)
        self._find = Statement(database, lambda: found)
        # Those of the workers that were seen last.
        self._known: dict[str, frozenset[str]] = {}

    def keep(self, connection: Connection, names: Collection[str] | None, *, now: int) -> str:
        """Keep names, and return their digest; an empty one if nobody can tell which they are.

        Args:
            connection: The transaction in which a worker joins.
            names: What it knows.
            now: The moment, in microseconds.
        """
        if names is None:
            return ""
        # No row could ever have another.
        text = orjson.dumps(sorted(filter(is_sound, names)))
        digest = hashlib.sha256(text).hexdigest()
        self._keep.count(connection, digest=digest, names=text.decode(), now=now)
        # Behind that: whoever waits for another here holds nothing that the other could want.
        self._tidy.count(connection, before=now - _KEPT_MICROS)
        return digest

    def find(self, connection: Connection, digests: Collection[str]) -> dict[str, frozenset[str]]:
        """Return the names under each digest; one that is empty or was forgotten has none."""
        known = self._known
        wanted = set(digests) - {""}
        if missing := wanted - known.keys():
            rows = self._find.rows(connection, digests=words(self._dialect, sorted(missing)))
            known = known | {digest: frozenset(orjson.loads(text)) for digest, text in rows}
        # As a whole, since many threads read it; without those of workers that are gone.
        self._known = known = {digest: known[digest] for digest in wanted & known.keys()}
        return known


def _keep_statement(dialect: str) -> Insert:
    kept = insert_into(dialect, repertoires).values(
        digest=bindparam("digest"), names=bindparam("names"), joined_at=bindparam("now")
    )
    # The row is written in any case: who tidies up now leaves it alone.
    return kept.on_conflict_do_update(
        index_elements=[repertoires.c.digest], set_={"joined_at": kept.excluded.joined_at}
    )


def _tidy_statement() -> Delete:
    had = select(workers.c.repertoire)
    old = (
        select(repertoires.c.digest)
        .where(
            repertoires.c.joined_at < bindparam("before", type_=WHOLE),
            repertoires.c.digest.not_in(had),
        )
        .with_for_update(skip_locked=True)
    )
    return delete(repertoires).where(repertoires.c.digest.in_(old))
