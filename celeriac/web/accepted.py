"""The answer to what was accepted, made once and given again word for word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote

import orjson
from starlette.responses import Response

from celeriac.core.acceptance import Accepted, Begun, TaskOutcome, Together, task_as_accepted
from celeriac.core.task import TaskId
from celeriac.errors import CeleriacError
from celeriac.service.reports import report_at_first, report_of_new
from celeriac.web.bodies import JSON_TYPE
from celeriac.web.schemas import TaskOut

# A good pause between two looks at a task.
_POLL_SECONDS = "1"
# How every task begins.
_HEAD = '{"task_id":'


def task_text(outcomes: Sequence[TaskOutcome]) -> str:
    """Return the body that answers the submission of one task.

    Raises:
        CeleriacError: It was not accepted.
    """
    return TaskOut.text_of(report_at_first(outcomes))


def accepted_task(accepted: Accepted) -> Response:
    """Return the answer to the submission of one task.

    Raises:
        CeleriacError: It was not accepted.
    """
    if accepted.answer is None:
        (outcome,) = accepted.outcomes
        if isinstance(outcome, CeleriacError):
            raise outcome
        task_id = outcome.id
        text = _text_of_twin(outcome) if isinstance(outcome, Begun) else task_text([outcome])
    else:
        text = accepted.answer
        task_id = TaskId(json.loads(text)["task_id"])
    headers = {"Location": f"/tasks/{quote(task_id, safe='')}", "Retry-After": _POLL_SECONDS}
    return Response(text, 202, headers, JSON_TYPE)


def _text_of_twin(begun: Begun) -> str:
    return f"{_HEAD}{orjson.dumps(begun.id).decode()}{_rest_of(begun.together)}"


# Those of one lot are answered one after the other.
@lru_cache(maxsize=64)
def _rest_of(together: Together) -> str:
    """Return what stands behind the id in the answer to every one of some twins."""
    nameless = replace(together.like, id=TaskId(""))
    task = task_as_accepted(nameless, state=together.state, created_at=together.created_at)
    return TaskOut.text_of(report_of_new(task)).removeprefix(f'{_HEAD}""')
