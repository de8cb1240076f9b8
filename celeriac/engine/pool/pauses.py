"""The queues that are paused, as a worker hears of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class Pauses:
    """Looks now and then which queues are paused, and tells when that has changed.

    The claim itself refuses tasks of a paused queue from the moment of its pause; this only keeps
    their doorbells in the broker, and other tasks from waiting behind refusals.
    """

    def __init__(self, tell: Callable[[frozenset[str]], None]) -> None:
        self._tell = tell
        self._told: frozenset[str] = frozenset()
        # By the monotonic clock.
        self._look_at = 0.0

    def look(self, ledger: Ledger) -> None:
        """Look, unless that was a moment ago.

        Raises:
            LedgerUnavailableError: The ledger did not answer.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        paused = frozenset(ledger.queues.paused())
        if paused != self._told:
            self._told = paused
            self._tell(paused)


class PausedConsumer:
    """Has Celery's consumer leave paused queues alone; used in the worker's main thread only."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._paused: frozenset[str] = frozenset()

    def pause(self, consumer: Any, names: frozenset[str]) -> None:
        """Consume from all queues that this worker serves, but for those named."""
        resumed, self._paused = self._paused - names, names
        tasks = getattr(consumer, "task_consumer", None)
        if tasks is None:
            return
        consumed = {queue.name for queue in tasks.queues}
        for name in names & consumed:
            logger.info("a queue is paused", extra={"queue": name})
            tasks.cancel_by_queue(name)
        served = frozenset(self._app.amqp.queues.consume_from)
        missing = (resumed & served) - consumed
        for name in missing:
            logger.info("a queue is resumed", extra={"queue": name})
            tasks.add_queue(self._app.amqp.queues[name])
        if missing:
            # From these alone: it goes on with the others.
            tasks.consume()

    def reconnected(self, consumer: Any) -> None:
        """Leave the same queues alone over a new connection."""
        if self._paused:
            self.pause(consumer, self._paused)
