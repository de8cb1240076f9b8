"""The tasks that checked requests make, and the twins of those that are alike."""

from __future__ import annotations

import json

from celeriac.core.acceptance import Reservation, Wanted, WantedTask
from celeriac.core.file_reference import without_file_ids
from celeriac.core.task import NewTask, TaskId, Twin
from celeriac.core.task_ids import new_task_id
from celeriac.errors import CeleriacError, TaskNameNotFoundError
from celeriac.service.callers import Caller
from celeriac.service.checking import Alike, Checked
from celeriac.service.reserving import reservation_id
from celeriac.service.submission import new_task


class Likes:
    """Makes tasks of requests that were checked together: what many are like is made once."""

    def __init__(self) -> None:
        # By whose it is and which checked request it is made of.
        self._made: dict[tuple[str, int], WantedTask | CeleriacError] = {}

    def wanted_of(
        self, checked: Checked | Alike | CeleriacError, name: str, caller: Caller, task_id: TaskId
    ) -> Wanted | CeleriacError:
        """Return what a checked request of a caller makes, or why it makes nothing."""
        if not isinstance(checked, Alike):
            return wanted_of(checked, name, caller, task_id)
        key = caller.name, id(checked.other)
        like = self._made.get(key)
        if like is None:
            like = self._made[key] = wanted_of(checked.other, name, caller, new_task_id())
        if not isinstance(like, WantedTask):
            return like
        return Twin(task_id, checked.arguments, like.task)


def wanted_of(
    checked: Checked | CeleriacError, name: str, caller: Caller, task_id: TaskId
) -> WantedTask | CeleriacError:
    """Return what a checked request of a caller makes, or why it makes nothing."""
    if not caller.knows(name):
        return TaskNameNotFoundError(name)
    if not isinstance(checked, Checked):
        return checked
    task = new_task(
        task_id,
        checked.request,
        checked.arguments,
        queue=checked.queue,
        submitted_by=caller.name,
        now=checked.at,
    )
    return WantedTask(task=task, unique=_unique(checked, task))


def _unique(checked: Checked, task: NewTask) -> Reservation | None:
    lifetime = checked.request.options.unique_for
    if lifetime is None:
        return None
    # In whatever order the arguments were named, and whenever a file among them was sent.
    arguments = json.dumps(json.loads(without_file_ids(task.arguments.text)), sort_keys=True)
    parts = ("unique task", task.submitted_by or "", task.name, task.queue, arguments)
    return Reservation(id=reservation_id(*parts), lifetime=lifetime)
