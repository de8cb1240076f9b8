"""A queue, as an answer describes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celeriac.client.remote_task import moment_from_text
from celeriac.core.queue import Pause, Queue

Json = Any


def queue_from_body(body: Mapping[str, Json]) -> Queue:
    """Return the queue in an answer's body."""
    pause = body["pause"]
    return Queue(
        name=body["name"],
        queued=body["queued"],
        oldest_queued_at=moment_from_text(body["oldest_queued_at"]),
        running=body["running"],
        workers=body["workers"],
        pause=pause
        and Pause(
            by=pause["by"],
            reason=pause["reason"],
            since=datetime.fromisoformat(pause["since"]),
        ),
    )


def queues_from_body(body: Mapping[str, Json]) -> tuple[Queue, ...]:
    """Return the queues in an answer's body."""
    return tuple(queue_from_body(each) for each in body["queues"])
