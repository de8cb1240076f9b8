"""Remote control: Celery's, with a revoke that survives the workers it is told to."""

from __future__ import annotations

from typing import Any

from celery.app.control import Control
from celery.result import ResultBase

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId


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
