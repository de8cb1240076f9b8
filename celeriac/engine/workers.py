"""The workers, as the service speaks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from celeriac.core.change import Change
from celeriac.core.outcome import Ended
from celeriac.core.task import Task, TaskId
from celeriac.core.worker import Worker
from celeriac.engine.changes import Changes, Listener
from celeriac.engine.runtime import Engine


class Workers:
    """Who runs tasks now, and how they are told to stop one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_workers(self) -> tuple[Worker, ...]:
        """Return the workers that have joined and not left."""
        return self._engine.ledger.leases.workers()

    def interrupt(self, task: Task) -> None:
        """Have a running task stopped.

        The ledger has the wish already, and the worker that holds the task reads it within a
        quarter of a second, whatever the broker does meanwhile.
        """
        self._engine.counters.add("interrupts")

    def tell_changed(self, task_ids: Sequence[TaskId]) -> None:
        """Tell whoever watches that tasks changed without a worker's doing."""
        self._engine.changes.tell(task_ids)

    def tell_ended(self, ended: Sequence[Ended]) -> None:
        """Tell whoever waits or watches that tasks ended without a worker's doing."""
        self._engine.tell_ended(ended)

    def listen(self, hear: Callable[[Change], None], lose: Callable[[], None]) -> Listener:
        """Have every change of every process heard, until the listener is stopped.

        Args:
            hear: Called from another thread with each change; first with one that names none and
                is partial, when from now on nothing is missed.
            lose: Called when nothing will be heard for a while.
        """
        changes = self._engine.changes
        if not isinstance(changes, Changes):
            raise RuntimeError("a child process hears nothing")
        return changes.listen(hear, lose)
