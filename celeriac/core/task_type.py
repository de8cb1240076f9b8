"""A task name as others see it: what it does, what it takes, where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celeriac.core.task import DEFAULT_QUEUE

Json = Any

# Celery's tasks and ours keep canvases going. Nobody submits them, and every worker knows them.
_INTERNAL = ("celery.", "celeriac.")


def is_internal(name: str) -> bool:
    """Return whether a task name is none that anybody submits."""
    return name.startswith(_INTERNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """What is known of every task of one name before any is submitted."""

    name: str
    # One line for people; empty when its author wrote none.
    title: str = ""
    # The rest of what its author wrote, or empty.
    description: str = ""
    # A JSON Schema (2020-12) of its named arguments, as one object.
    schema: dict[str, Json]
    # Where its tasks go when the submitter names no queue.
    queue: str = DEFAULT_QUEUE
    # Attempts in all when an attempt fails by itself; None when the function decides.
    max_attempts: int | None = None
    # How long one attempt may take; None is as long as it likes.
    timeout_seconds: float | None = None
