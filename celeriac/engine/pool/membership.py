"""A worker's place among the workers: joined, beating, thought dead, leaving."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from celeriac.core.worker import NewWorker
from celeriac.engine.pool.slots import SlotFile
from celeriac.engine.runtime import Engine
from celeriac.errors import UnavailableError
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

# Heartbeats within one lease: some may be late, and some lost with a database that was away.
_BEATS_PER_LEASE = 7
_SHORTEST_SECONDS = 0.05


class Membership:
    """Keeps a worker known to the ledger, under one id until it is thought dead."""

    def __init__(self, engine: Engine, describe: Callable[[], NewWorker]) -> None:
        self._engine = engine
        self._describe = describe
        self._worker: NewWorker | None = None
        self._slots: SlotFile | None = None
        # Not written down at once: most slots have their next task in the same moment.
        self._resting: set[int] = set()
        # By the monotonic clock.
        self.beat_at = 0.0

    def keep(self, ledger: Ledger) -> str:
        """Show that this worker lives, and return the id under which it does.

        Raises:
            LedgerUnavailableError: The ledger did not answer.
        """
        now = time.monotonic()
        worker = self._worker
        if worker is not None and now >= self.beat_at and not ledger.leases.beat(worker.id):
            # Thought dead and reaped: whatever it holds was given to others, and the completions
            # of it will be refused.
            logger.warning("this worker was given up while it lived; it joins again")
            self._engine.counters.add("reaped_alive")
            worker = None
        if worker is None:
            worker = self._worker = self._join(ledger)
        if now >= self.beat_at:
            lease = self._engine.settings.lease.total_seconds()
            self.beat_at = now + max(lease / _BEATS_PER_LEASE, _SHORTEST_SECONDS)
        return worker.id

    def doubt(self) -> None:
        """Have the next `keep` look whether the ledger still knows this worker."""
        self.beat_at = 0.0

    def runs(self, slot: int, task_id: str) -> None:
        """Write down which task a slot runs, for whoever finds this worker dead."""
        self._resting.discard(slot)
        if self._slots is not None:
            self._slots.set(slot, task_id)

    def rests(self, slot: int) -> None:
        """Note that a slot runs nothing; written down with the next `record`."""
        self._resting.add(slot)

    def record(self) -> None:
        """Write down which slots run nothing."""
        if self._resting and self._slots is not None:
            for slot in self._resting:
                self._slots.set(slot, "")
            self._resting.clear()

    def leave(self) -> None:
        """Leave in order."""
        if self._worker is not None:
            try:
                self._engine.ledger.leases.leave(self._worker.id)
            except UnavailableError:
                # The janitor finds the worker gone and gives back what it held. It shall find, too,
                # that none of that is to blame: this worker ends because it was told to.
                logger.warning("the ledger is unavailable; this worker leaves without a word")
                if self._slots is not None:
                    self._slots.empty()
                return
        if self._slots is not None:
            self._slots.remove()

    def _join(self, ledger: Ledger) -> NewWorker:
        worker = self._describe()
        ledger.leases.join(worker)
        if self._slots is not None:
            self._slots.remove()
        self._slots = SlotFile(slot_path(self._engine, worker.id))
        return worker


def slot_path(engine: Engine, worker_id: str) -> Path:
    """Return where a worker on this machine keeps its slots."""
    return engine.settings.data_dir / "slots" / worker_id
