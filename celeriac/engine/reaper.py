"""Taking back what dead workers held."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from celeriac.core.task import TaskId
from celeriac.core.worker import Worker
from celeriac.engine.identity import is_gone, machine_id
from celeriac.engine.pool.slots import read_slots
from celeriac.engine.runtime import Engine
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

# A watch that was interrupted for this long begins anew: whoever could not look saw nothing.
_BLIND_SECONDS = 3.0


class Reaper:
    """Watches the workers' heartbeats by this process's own monotonic clock."""

    def __init__(self, engine: Engine, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._machine = machine_id()
        self._watched: dict[str, tuple[int, float]] = {}
        self._looked_at = float("-inf")

    def reap(self, ledger: Ledger) -> set[str]:
        """Give back what dead workers held, and return the queues they served."""
        workers = ledger.leases.workers()
        now = self._monotonic()
        if now - self._looked_at > _BLIND_SECONDS:
            self.look_away()
        self._looked_at = now
        queues: set[str] = set()
        for worker in workers:
            if is_gone(worker, machine=self._machine) or self._stood_still(worker, now):
                self._reap(ledger, worker)
                queues.update(worker.queues)
        known = {worker.id for worker in workers}
        self._watched = {key: seen for key, seen in self._watched.items() if key in known}
        return queues

    def look_away(self) -> None:
        """Begin to watch anew: whoever could not look has seen no heart stand still.

        When a ledger was away, no worker could show that it lives either; the first janitor that
        finds it again must not take for dead those that come a moment later.
        """
        self._watched.clear()

    def _stood_still(self, worker: Worker, now: float) -> bool:
        seen = self._watched.get(worker.id)
        if seen is None or seen[0] != worker.sequence:
            self._watched[worker.id] = (worker.sequence, now)
            return False
        return now - seen[1] >= self._engine.settings.lease.total_seconds()

    def _reap(self, ledger: Ledger, worker: Worker) -> None:
        reaped = ledger.sweeps.reap(worker.id, worker.sequence, crashed=self._suspects(worker))
        if not reaped.is_reaped:
            # Its heart has beaten since, or another janitor was faster.
            return
        self._slots_of(worker).unlink(missing_ok=True)
        logger.warning(
            "a worker is gone; what it held is given to others",
            extra={"worker": worker.name, "tasks": len(reaped.doorbells) + len(reaped.ended)},
        )
        self._engine.counters.add("workers_reaped")
        self._engine.publisher.ring(reaped.doorbells)
        self._engine.tell_ended(reaped.ended)
        # What it had written down last it may have told to nobody.
        self._engine.notices.miss(worker.heartbeat_at)

    def _suspects(self, worker: Worker) -> frozenset[TaskId] | None:
        """Return the tasks that may have killed a worker: those it ran; None is all it held."""
        if worker.machine != self._machine:
            # The whole machine may be lost, for which no task is to blame.
            return frozenset()
        running = read_slots(self._slots_of(worker))
        if running is None:
            # It ran here and nobody can tell what: one of those it held may kill the next one too.
            return None
        return frozenset(TaskId(task_id) for task_id in running)

    def _slots_of(self, worker: Worker) -> Path:
        return self._engine.settings.data_dir / "slots" / worker.id
