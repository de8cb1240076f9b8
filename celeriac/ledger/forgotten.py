"""Claims that a server has forgotten when it fell, claimed again by those who hold them.

PostgreSQL does not wait for its disk with a claim. When it falls, it may forget those of the last
half second: their tasks are queued again, although living workers run them. A worker that says what
became of such a task, or that was cut off from the ledger, claims it again by the token it had.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import TaskId
from celeriac.ledger.arrivals import Timing
from celeriac.ledger.claims import Claims
from celeriac.ledger.completions import Completions
from celeriac.ledger.exchange import Settled


class Forgotten:
    """Makes true again what was forgotten, inside somebody's transaction."""

    def __init__(self, claims: Claims, completions: Completions) -> None:
        self._claims = claims
        self._completions = completions

    def complete(
        self, connection: Connection, worker_id: str, timing: Timing, settled: Settled
    ) -> None:
        """Write those of the lost outcomes whose claims were forgotten.

        Args:
            connection: Where.
            worker_id: The worker.
            timing: The transaction's.
            settled: What was lost is taken out of it where it is written now.
        """
        # What did not begin need not be held to be queued.
        lost = [each for each in settled.lost if each.ending is not Ending.UNBEGUN]
        again = self.claim(
            connection, worker_id, {each.task_id: each.lease_token for each in lost}, timing
        )
        found: list[Outcome] = [
            each for each in lost if again.get(each.task_id) == each.lease_token
        ]
        if found:
            settled.lost = [each for each in settled.lost if each not in found]
            self._completions.complete(connection, found, timing, settled)

    def claim(
        self, connection: Connection, worker_id: str, held: Mapping[TaskId, str], timing: Timing
    ) -> dict[TaskId, str]:
        """Claim again what is queued although a worker holds it; return that, by its tokens.

        An attempt of which something is written down has ended, and is not claimed again.
        """
        # SQLite forgets nothing before the machine falls, and all workers with it.
        if not held or connection.dialect.name != "postgresql":
            return {}
        ended = self._completions.find_ended(connection, [*held.items()])
        tokens = {
            task_id: held[task_id] for task_id in held if (task_id, held[task_id]) not in ended
        }
        if not tokens:
            return {}
        return self._claims.claim_again(connection, worker_id, tokens, timing)
