"""That something happened to tasks: a hint for whoever watches. What happened says the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from celeriac.core.task import TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Some tasks that changed since the hint before."""

    task_ids: tuple[TaskId, ...] = ()
    # How many of them ended, by their final state.
    ended: Mapping[str, int] = field(default_factory=dict)
    # Others changed as well, and are not named.
    is_partial: bool = False
