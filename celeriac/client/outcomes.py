"""What became of each task of a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from celeriac.client.problems import error_from_answer
from celeriac.core.task import TaskId
from celeriac.errors import CeleriacError

Json = Any


def outcomes_from_body(body: Mapping[str, Json]) -> tuple[TaskId | CeleriacError, ...]:
    """Return of each task its id, or the error for which it was refused."""
    return tuple(_outcome(each) for each in body["outcomes"])


def _outcome(value: Mapping[str, Json]) -> TaskId | CeleriacError:
    problem = value["problem"]
    if problem is None:
        return TaskId(value["task_id"])
    return error_from_answer(problem["status"], {}, json.dumps(problem), facts={})
