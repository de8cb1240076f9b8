"""Remote control: Celery's, with a revoke that survives the workers it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery.app.control import Control
from celery.result import ResultBase

from celeriac.core.page import MAX_PAGE_SIZE, TaskFilter
from celeriac.core.state import FINAL_STATES, TaskState
from celeriac.core.task import Task, TaskId
from celeriac.engine.stamps import bears_stamp, wanted_stamps

_UNFINISHED = tuple(state for state in TaskState if state not in FINAL_STATES)
_UNBEGUN = tuple(state for state in _UNFINISHED if state is not TaskState.RUNNING)


class LedgerControl(Control):
    """Celery's remote control, cancelling in the ledger first."""

    def revoke(
        self,
        task_id: Any,
        destination: Any = None,
        terminate: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        signal: Any = "SIGTERM",
        **kwargs: Any,
    ) -> Any:
        """Cancel one task or many.

        A task that has not started is cancelled by the time this returns, whether or not a worker
        listens. A running one goes on, as in Celery, unless `terminate` is given.
        """
        ids = task_id if isinstance(task_id, list | tuple | set) else [task_id]
        names = [str(each.id) if isinstance(each, ResultBase) else str(each) for each in ids]
        road = self.app.celeriac.road
        found = road.find([TaskId(name) for name in names])
        # Without `terminate` Celery lets a running task finish, and so do we.
        road.cancel(
            [task.id for task in found.values() if terminate or task.state is not TaskState.RUNNING]
        )
        return super().revoke(
            names, destination=destination, terminate=terminate, signal=signal, **kwargs
        )

    def revoke_by_stamped_headers(
        self,
        headers: Any,
        destination: Any = None,
        terminate: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        signal: Any = "SIGTERM",
        **kwargs: Any,
    ) -> Any:
        """Cancel every task that bears one of some stamps, and have workers refuse later ones.

        A task that has not started is cancelled by the time this returns; a running one goes on,
        unless `terminate` is given. Reads every task that has not ended.
        """
        wanted = wanted_stamps(headers)
        states = _UNFINISHED if terminate else _UNBEGUN
        self.app.celeriac.road.cancel(
            [task.id for task in self._tasks_in(states) if bears_stamp(task.headers, wanted)]
        )
        return super().revoke_by_stamped_headers(
            headers, destination=destination, terminate=terminate, signal=signal, **kwargs
        )

    def _tasks_in(self, states: tuple[TaskState, ...]) -> Iterator[Task]:
        tasks, after = self.app.celeriac.ledger.tasks, None
        while True:
            page = tasks.list(TaskFilter(states=states), after=after, limit=MAX_PAGE_SIZE)
            yield from page.items
            if page.next is None:
                return
            after = page.next
