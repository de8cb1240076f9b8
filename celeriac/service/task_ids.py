"""New ids of tasks, made many at a time.

Asking the system for random numbers lets another thread of this process go first, which under load
makes each question cost more than all else that is done for a task.
"""

from __future__ import annotations

import os
import uuid
from collections import deque

from celeriac.core.task import TaskId

_AT_ONCE = 256
_BYTES = 16

_ready: deque[TaskId] = deque()


def new_task_id() -> TaskId:
    """Return an id that nobody has and nobody can guess: a UUID of version 4."""
    while True:
        try:
            return _ready.popleft()
        except IndexError:
            _ready.extend(_make())


def _make() -> list[TaskId]:
    drawn = os.urandom(_AT_ONCE * _BYTES)
    return [
        TaskId(str(uuid.UUID(bytes=drawn[begin : begin + _BYTES], version=4)))
        for begin in range(0, len(drawn), _BYTES)
    ]


if hasattr(os, "register_at_fork"):
    # Two processes must not go on with the same ones.
    os.register_at_fork(after_in_child=_ready.clear)
