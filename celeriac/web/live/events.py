"""Server-Sent Events as they stand on the wire, and which topics there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from celeriac.core.task import TaskId
from celeriac.errors import InvalidOptionError

Json = Any

# A comment: it keeps proxies from closing what is silent.
HEARTBEAT = b": still here\n\n"
# How soon a browser whose connection broke comes back.
RETRY = b"retry: 2000\n\n"
MOST_TASKS = 50
_MOST_ID = 255
_TASK = "task:"
_WORDS = ("tasks", "stats", "task-types")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    name: str
    data: Json
    # Where a reader that comes back goes on; empty when it does not matter.
    id: str = ""

    def encode(self) -> bytes:
        """Return it as it is sent."""
        lines = [f"id: {self.id}"] if self.id else []
        # JSON holds no line break, so one line is enough.
        lines += [f"event: {self.name}", f"data: {json.dumps(self.data, separators=(',', ':'))}"]
        return "\n".join((*lines, "", "")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """What somebody wants to hear of."""

    # The list of tasks.
    tasks: bool = False
    # How much is done and waits, once a second.
    stats: bool = False
    # What can be submitted, told to whoever comes.
    task_types: bool = False
    # Single tasks.
    task_ids: tuple[TaskId, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `tasks,stats,task-types,task:ID`.

        Raises:
            InvalidOptionError: A topic is unknown, or there are too many or none.
        """
        words = list(dict.fromkeys(text.split(",")))
        ids = [word.removeprefix(_TASK) for word in words if word.startswith(_TASK)]
        others = [word for word in words if not word.startswith(_TASK)]
        unknown = [word for word in others if word not in _WORDS]
        if unknown or any(not 0 < len(each) <= _MOST_ID or "\0" in each for each in ids):
            allowed = f"one or more of {', '.join(_WORDS)}, task:ID, with commas"
            raise InvalidOptionError("topics", allowed)
        if len(ids) > MOST_TASKS:
            raise InvalidOptionError("topics", f"names at most {MOST_TASKS} tasks")
        return cls(
            tasks="tasks" in others,
            stats="stats" in others,
            task_types="task-types" in others,
            task_ids=tuple(TaskId(each) for each in ids),
        )


def joined(events: Sequence[Event]) -> bytes:
    """Return events as they are sent."""
    return b"".join(event.encode() for event in events)
