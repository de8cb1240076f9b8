"""What somebody who looks on should hear of a task: an attempt of it went wrong."""

from __future__ import annotations

import json
from typing import NamedTuple, Self

from celeriac.core.state import ErrorKind
from celeriac.core.task import TaskId


class Trouble(NamedTuple):
    """An attempt that went wrong, as the ledger has it."""

    task_id: TaskId
    # The name of its task function.
    name: str
    attempt: int
    # Whether the task has failed with it; else it runs again by itself.
    is_final: bool
    kind: ErrorKind
    # The exception's class, by its qualified name; empty where there was none.
    type: str = ""
    message: str = ""
    # The limit that it ran into, where it was one.
    limit_seconds: float | None = None

    def to_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(self)

    @classmethod
    def from_line(cls, line: str) -> Self | None:
        """Read what `to_line` wrote; None when it is not whole."""
        try:
            task_id, name, attempt, is_final, kind, *rest = json.loads(line)
            return cls(task_id, name, attempt, is_final, ErrorKind(kind), *rest)
        except (ValueError, TypeError):
            return None
