"""What can be submitted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from celeriac.web.auth import SignedIn
from celeriac.web.openapi import LIMIT_HEADERS, refusals
from celeriac.web.parts import TaskTypes
from celeriac.web.task_type_schemas import TaskTypeOut, TaskTypesOut

router = APIRouter(tags=["task types"])


@router.get(
    "/task-types",
    operation_id="list_task_types",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 429, 503)},
)
def list_task_types(who: SignedIn, task_types: TaskTypes) -> TaskTypesOut:
    """List every task name that can be submitted, with what it takes."""
    found = task_types.list_task_types(by=who)
    unloaded = list(task_types.list_unloaded(by=who))
    return TaskTypesOut(task_types=[TaskTypeOut.of(each) for each in found], unloaded=unloaded)


@router.get(
    "/task-types/{name}",
    operation_id="get_task_type",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 404, 429, 503)},
)
def get_task_type(
    name: Annotated[str, Path(description="The task's name.")],
    who: SignedIn,
    task_types: TaskTypes,
) -> TaskTypeOut:
    """Read what one task name stands for and what it takes."""
    return TaskTypeOut.of(task_types.get_task_type(name, by=who))
