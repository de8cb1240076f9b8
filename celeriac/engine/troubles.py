"""Tells whoever looks on at a worker which attempts went wrong, once the ledger has them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from celeriac.core.outcome import Ended, Ending, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import ClaimedTask, TaskError, TaskId
from celeriac.core.trouble import Trouble

# A message may hold a whole file; nobody reads further than this.
_LONGEST = 500


def list_troubles(
    ends: Iterable[tuple[ClaimedTask, Outcome]], *, ended: Iterable[Ended], lost: Sequence[TaskId]
) -> list[Trouble]:
    """Return what went wrong in one exchange with the ledger.

    Args:
        ends: The attempts that ended here, with their tasks.
        ended: What became final by them.
        lost: Those whose end did not count: the lease was gone.
    """
    unhappy = [each for each in ends if each[1].ending is not Ending.COMPLETED]
    return list(_troubles(unhappy, ended, lost)) if unhappy else []


def _troubles(
    unhappy: Iterable[tuple[ClaimedTask, Outcome]], ended: Iterable[Ended], lost: Sequence[TaskId]
) -> Iterator[Trouble]:
    final = {each.task_id: each for each in ended}
    for claimed, outcome in unhappy:
        end = final.get(claimed.id)
        if end is not None:
            if end.state == TaskState.FAILED and end.error is not None:
                yield _trouble(claimed, end.error, is_final=True)
        elif claimed.id in lost:
            continue
        elif outcome.ending is Ending.LOST:
            # A neighbour's crash or the worker's end is no news of this task.
            if outcome.is_suspect:
                yield _trouble(claimed, TaskError(kind=ErrorKind.WORKER_LOST), is_final=False)
        elif outcome.ending is Ending.RETRIED and outcome.error is not None:
            yield _trouble(claimed, outcome.error, is_final=False)


def _trouble(claimed: ClaimedTask, error: TaskError, *, is_final: bool) -> Trouble:
    return Trouble(
        claimed.id,
        claimed.name,
        claimed.attempt,
        is_final,
        error.kind,
        error.type,
        error.message[:_LONGEST],
        _limit_of(error),
    )


def _limit_of(error: TaskError) -> float | None:
    if error.kind is not ErrorKind.TIMEOUT:
        return None
    arguments = json.loads(error.arguments)
    seconds = arguments[0] if arguments else None
    return float(seconds) if isinstance(seconds, int | float) else None


class TroubleFile:
    """A file that only this user may read, with a line for each trouble."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, troubles: Sequence[Trouble]) -> None:
        """Add some; a full disk takes no worker down."""
        with suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.writelines(f"{each.to_line()}\n" for each in troubles)
