"""What a child may ask its parent for, and how the parent answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celeriac.core.task import TaskId
from celeriac.engine.pool import wire
from celeriac.engine.road import Road
from celeriac.errors import CeleriacError

logger = logging.getLogger(__name__)

Json = Any

# No error's code: the child raises the sentence.
_UNANSWERED = "unanswered"


class Answers:
    """The parent's answers, given out of its own road to the ledger."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._methods: dict[str, Callable[..., Json]] = {
            "submit": self._submit,
            "find": self._find,
            "find_chord": self._find_chord,
            "children_of": self._children_of,
            "mark": self._mark,
            "cancel": self._cancel,
        }

    def answer(self, number: int, method: str, arguments: list[Json]) -> Json:
        """Return the reply to one question, for the wire."""
        try:
            value = self._methods[method](*arguments)
        except CeleriacError as error:
            return ["reply", number, error.code, str(error)]
        except Exception as error:
            # The boundary between a task and its worker: a question of the wrong kind, or a mistake
            # of ours, fails the task that asked, and is no reason to end its process.
            logger.exception("a task's question was not answered", extra={"method": str(method)})
            return ["reply", number, _UNANSWERED, f"it was not answered: {type(error).__name__}"]
        return ["reply", number, "", value]

    def _submit(self, tasks: list[Json], chords: list[Json]) -> None:
        self._road.submit(
            [wire.new_task(each) for each in tasks], [wire.new_chord(each) for each in chords]
        )

    def _find(self, task_ids: list[str]) -> Json:
        return list(self._road.find([TaskId(each) for each in task_ids]).values())

    def _find_chord(self, chord_id: str) -> Json:
        return self._road.find_chord(chord_id)

    def _mark(self, task_id: str, progress: str) -> None:
        self._road.mark(TaskId(task_id), progress)

    def _children_of(self, task_id: str) -> Json:
        return list(self._road.children_of(TaskId(task_id)))

    def _cancel(self, task_ids: list[str]) -> None:
        self._road.cancel([TaskId(each) for each in task_ids])
