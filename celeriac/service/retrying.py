"""What a task is like that runs another one again: pure decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from celeriac.core.task import Arguments, Codec, NewTask, Task, TaskId
from celeriac.errors import InvalidOptionError

Json = Any


def changed_arguments(arguments: Arguments, changes: Mapping[str, Json]) -> dict[str, Json]:
    """Return the named arguments of a task with some of them changed.

    Raises:
        InvalidOptionError: They came by position or in Celery's typed JSON, so that nobody can say
            which of them is meant.
    """
    positional, named = json.loads(arguments.text)
    if positional or arguments.codec is not Codec.JSON:
        raise InvalidOptionError(
            "arguments", "cannot be changed by name, since they did not come so; submit it anew"
        )
    return {**named, **changes}


def task_again(task: Task, task_id: TaskId, arguments: Arguments, *, submitted_by: str) -> NewTask:
    """Return a new task that does what another one did.

    It stands alone: what followed the first in a chain or a group was told of its end already.
    """
    return NewTask(
        id=task_id,
        name=task.name,
        arguments=arguments,
        queue=task.queue,
        priority=task.priority,
        max_attempts=task.max_attempts,
        timeout_seconds=task.timeout_seconds,
        soft_timeout_seconds=task.soft_timeout_seconds,
        at_most_once=task.at_most_once,
        root_id=task_id,
        retry_of=task.id,
        submitted_by=submitted_by,
        tags=task.tags,
    )
