"""The queues: how they stand, and pausing one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from celeriac.web.auth import SignedIn
from celeriac.web.bodies import JSON_TYPE, read_optional_json_object
from celeriac.web.openapi import LIMIT_HEADERS, body_of, refusals
from celeriac.web.parts import Queues
from celeriac.web.queue_schemas import PAUSE_WISH, QueueOut, QueuesOut, read_reason

router = APIRouter(tags=["queues"])

Json = Any
QueueName = Annotated[str, Path(description="The queue's name.", min_length=1, max_length=200)]


@router.get(
    "/queues",
    operation_id="list_queues",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 429, 503)},
)
def list_queues(who: SignedIn, queues: Queues) -> QueuesOut:
    """List every queue that has a task, a worker or a pause."""
    return QueuesOut(queues=[QueueOut.of(each) for each in queues.list_queues(by=who)])


@router.post(
    "/queues/{queue:path}/pause",
    operation_id="pause_queue",
    openapi_extra=body_of({JSON_TYPE: PAUSE_WISH}, is_required=False),
    responses={
        200: {"headers": LIMIT_HEADERS},
        **refusals(400, 401, 403, 413, 415, 422, 429, 503),
    },
)
def pause_queue(
    queue: QueueName,
    who: SignedIn,
    wish: Annotated[dict[str, Json], Depends(read_optional_json_object)],
    queues: Queues,
) -> QueueOut:
    """Have nothing more of a queue begun until it is resumed; what runs goes on.

    A queue that is paused already stays as it is, with the first one's reason.
    """
    return QueueOut.of(queues.pause_queue(queue, read_reason(wish), by=who))


@router.post(
    "/queues/{queue:path}/resume",
    operation_id="resume_queue",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 404, 422, 429, 503)},
)
def resume_queue(queue: QueueName, who: SignedIn, queues: Queues) -> QueueOut:
    """Have tasks of a queue begun again."""
    return QueueOut.of(queues.resume_queue(queue, by=who))
