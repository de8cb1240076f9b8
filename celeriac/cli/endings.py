"""What the shell gets for a task's end."""

from __future__ import annotations

from celeriac.core.state import TaskState

NOT_COMPLETED = 3


def exit_code_of(state: TaskState) -> int:
    """Return 0 for a task that completed, 3 for one that ended otherwise."""
    return 0 if state is TaskState.COMPLETED else NOT_COMPLETED
