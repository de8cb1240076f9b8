"""Ringing again for what the broker does not have, or forgot."""

from __future__ import annotations

import logging
from collections.abc import Callable

from celeriac.engine.broker import BrokerView
from celeriac.engine.identity import machine_id, process_started
from celeriac.engine.runtime import Engine
from celeriac.engine.transport.parking import Owner
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

# Doorbells of one queue that lie in the broker at the most, and when they are topped up.
_MOST_RUNG = 20_000
# In one statement: twenty thousand at once are memory that a worker never gives back.
_MOST_AT_ONCE = 2_000
_RUNNING_SHORT = _MOST_RUNG // 2

# Longer than a broker takes to start again.
_LONG_SECONDS = 15.0

_EPOCH_SETTING = "broker.epoch"


class Ringer:
    """Compares what is queued in the ledger with what lies in the broker."""

    def __init__(self, engine: Engine, view: BrokerView, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._view = view
        self._monotonic = monotonic
        # Read from the ledger before the first look: this janitor may be one of many before it.
        self._epoch: str | None = None
        # Since when the broker has not answered, by the monotonic clock.
        self._away_since: float | None = None
        self._forgotten: set[str] = set()
        self._machine = machine_id()

    @property
    def is_away(self) -> bool:
        """Whether the broker did not answer when it was last asked."""
        return self._away_since is not None

    @property
    def is_away_for_long(self) -> bool:
        """Whether somebody else should try."""
        away_since = self._away_since
        return away_since is not None and self._monotonic() - away_since >= _LONG_SECONDS

    def begin(self) -> None:
        """Forget what was known before somebody else led."""
        self._epoch = None
        if self._away_since is not None:
            self._away_since = self._monotonic()

    def hand_over(self, ledger: Ledger) -> None:
        """Have whoever leads next ring for everything: nobody knows what could not be rung."""
        ledger.settings.put(_EPOCH_SETTING, "")

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
            # Once an outage: it is looked for every second, and `up` shows each warning.
            if self._away_since is None:
                logger.warning(
                    "the broker is away; tasks wait in the ledger until it is back",
                    extra={"error": type(error).__name__},
                )
                self._away_since = self._monotonic()
            self._view.close()

    def give_back_parked(self, ledger: Ledger) -> None:
        """Give back the doorbells that dead processes had taken."""
        workers = ledger.leases.workers()
        known = {(worker.machine, worker.pid, worker.process_started) for worker in workers}

        def is_dead(owner: Owner) -> bool:
            # A process on this machine is looked for; one elsewhere is dead when its worker was
            # reaped, or has left.
            if owner.machine == self._machine and owner.process_started:
                return process_started(owner.pid) != owner.process_started
            return tuple(owner) not in known

        try:
            given_back = self._view.give_back_parked(is_dead)
        except self._view.errors:
            # The next look at the queues says so, and what is parked stays parked.
            self._view.close()
            return
        if given_back:
            logger.info("doorbells of dead workers were given back", extra={"count": given_back})

    def _look(self, ledger: Ledger) -> None:
        epoch = self._view.epoch()
        if self._epoch is None:
            self._epoch = ledger.settings.find(_EPOCH_SETTING)
        if epoch == self._epoch and not self.is_away:
            return
        # Wiped, replaced, or back after doorbells could not be rung: nobody knows which ones it
        # has. Those that it has twice cost a refused claim.
        due = ledger.sweeps.ring_all_due()
        if due and self._epoch is not None:
            # Nobody has to do anything: each of them is rung again by the janitor that looked.
            logger.info(
                "the broker is new or was away: what waits is rung again", extra={"queued": due}
            )
        if epoch != self._epoch:
            ledger.settings.put(_EPOCH_SETTING, epoch)
        self._epoch, self._away_since = epoch, None

    def _top_up(self, ledger: Ledger, queue: str, count: int) -> None:
        length = self._view.queue_length(queue)
        # What workers have fetched lies in no list: one that is half as long as it should be is
        # not short yet, and rings no doorbell twice.
        if length >= min((count + 1) // 2, _RUNNING_SHORT):
            return
        room = _MOST_RUNG - length
        while room > 0:
            doorbells = ledger.sweeps.due_to_ring(
                queue, limit=min(room, _MOST_AT_ONCE), again=self._engine.settings.ring_again
            )
            self._engine.publisher.ring(doorbells)
            # Fewer than were asked for: there are no more.
            room = room - len(doorbells) if len(doorbells) == _MOST_AT_ONCE else 0
