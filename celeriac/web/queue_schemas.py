"""The bodies about queues."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from celeriac.core.queue import Queue
from celeriac.errors import FieldProblem
from celeriac.web.refusals import InvalidBodyError

Json = Any

_MOST_REASON = 500

PAUSE_WISH: dict[str, Json] = {
    "type": "object",
    "title": "PauseWish",
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "maxLength": _MOST_REASON,
            "description": "What everybody reads who wonders why nothing runs.",
        }
    },
}


class PauseOut(BaseModel):
    """Why nothing of a queue is begun."""

    by: str | None
    reason: str
    since: datetime


class QueueOut(BaseModel):
    """How a queue stands."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    name: str
    queued: Annotated[int, Field(description="Tasks that are ready.")]
    oldest_queued_at: Annotated[
        datetime | None, Field(description="Since when the one that waited longest is ready.")
    ]
    running: int
    workers: Annotated[int, Field(description="Workers that serve it.")]
    pause: Annotated[PauseOut | None, Field(description="Null while tasks are begun.")]

    @classmethod
    def of(cls, queue: Queue) -> Self:
        """Return a queue as everybody reads it."""
        pause = queue.pause
        return cls(
            name=queue.name,
            queued=queue.queued,
            oldest_queued_at=queue.oldest_queued_at,
            running=queue.running,
            workers=queue.workers,
            pause=pause and PauseOut(by=pause.by, reason=pause.reason, since=pause.since),
        )


class QueuesOut(BaseModel):
    """Every queue, by name."""

    queues: list[QueueOut]


def read_reason(body: dict[str, Json]) -> str:
    """Return the reason in a wish to pause a queue.

    Raises:
        InvalidBodyError: The body holds something else.
    """
    problems = [
        FieldProblem(pointer=f"/{name}", detail="is not known") for name in body.keys() - {"reason"}
    ]
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _MOST_REASON:
        detail = f"must be a text of at most {_MOST_REASON} characters"
        problems.append(FieldProblem(pointer="/reason", detail=detail))
    if problems:
        raise InvalidBodyError(*problems)
    return str(reason)
