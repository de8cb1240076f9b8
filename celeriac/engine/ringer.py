"""Ringing again for what the broker does not have, or forgot."""

from __future__ import annotations

import logging
from collections.abc import Callable

from celeriac.engine.broker import BrokerView
from celeriac.engine.runtime import Engine
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

# Doorbells of one queue that lie in the broker at the most, and when they are topped up.
_MOST_RUNG = 20_000
_RUNNING_SHORT = _MOST_RUNG // 2


class Ringer:
    """Compares what is queued in the ledger with what lies in the broker."""

    def __init__(self, engine: Engine, view: BrokerView, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._view = view
        self._monotonic = monotonic
        # None until the broker was seen, and again whenever it was away.
        self._epoch: str | None = None
        self._forgotten: set[str] = set()

    def forget(self, queue: str) -> None:
        """Take it that doorbells of a queue were lost, with a worker that had fetched them."""
        self._forgotten.add(queue)

    def ring(self, ledger: Ledger) -> None:
        """Ring for every task that is due and that the broker does not seem to have."""
        try:
            self._look(ledger)
            counts = ledger.sweeps.queue_counts()
            for queue in sorted(self._forgotten & counts.keys()):
                ledger.sweeps.ring_all_due(queue)
            self._forgotten.clear()
            for queue, count in counts.items():
                self._top_up(ledger, queue, count)
        except self._view.errors as error:
            logger.warning(
                "the broker is away; the janitor rings when it is back",
                extra={"error": type(error).__name__},
            )
            self._epoch = None
            self._view.close()

    def _look(self, ledger: Ledger) -> None:
        epoch = self._view.epoch()
        if epoch == self._epoch:
            return
        # New to this janitor, wiped, replaced or back: nobody knows which doorbells it has. Those
        # that it has twice cost a refused claim.
        due = ledger.sweeps.ring_all_due()
        if self._epoch is not None and due:
            logger.warning("the broker forgot its doorbells", extra={"queued": due})
        self._epoch = epoch

    def _top_up(self, ledger: Ledger, queue: str, count: int) -> None:
        length = self._view.queue_length(queue)
        if length >= min(count, _RUNNING_SHORT):
            return
        doorbells = ledger.sweeps.due_to_ring(
            queue, limit=_MOST_RUNG - length, again=self._engine.settings.ring_again
        )
        self._engine.publisher.ring(doorbells)
