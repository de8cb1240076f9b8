"""The answer to what was accepted, made once and given again word for word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from starlette.responses import Response

from celeriac.core.acceptance import Accepted, TaskOutcome
from celeriac.core.task import TaskId
from celeriac.service.reports import report_at_first
from celeriac.web.bodies import JSON_TYPE
from celeriac.web.schemas import TaskOut

# A good pause between two looks at a task.
_POLL_SECONDS = "1"


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
        text, task_id = task_text(accepted.outcomes), report_at_first(accepted.outcomes).task.id
    else:
        text = accepted.answer
        task_id = TaskId(json.loads(text)["task_id"])
    headers = {"Location": f"/tasks/{quote(task_id, safe='')}", "Retry-After": _POLL_SECONDS}
    return Response(text, 202, headers, JSON_TYPE)
