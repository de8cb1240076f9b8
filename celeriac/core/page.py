"""Part of a list, where it ended, and which tasks a list is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId

Item = TypeVar("Item")

MAX_PAGE_SIZE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page of tasks ended: the key of its last row."""

    created_at: datetime
    id: TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """Some items of a list and where the next ones begin."""

    items: tuple[Item, ...]
    # None on the last page.
    next: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks a list is asked for: those that match every given field."""

    states: tuple[TaskState, ...] = ()
    name: str | None = None
    queue: str | None = None
    tag: str | None = None
    # Created at or after this moment.
    since: datetime | None = None
    submitted_by: str | None = None
