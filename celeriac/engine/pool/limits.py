"""How a task ends whose hard time limit is over, whichever runner stopped it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from celery import states

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import TaskError
from celeriac.engine.executor import Report
from celeriac.engine.pool.job import Job


def timed_out(job: Job) -> tuple[Outcome, Report]:
    """Return the end of a task that was stopped by its hard limit."""
    message = f"TimeLimitExceeded({job.hard_seconds},)"
    error = TaskError(
        kind=ErrorKind.TIMEOUT,
        type="TimeLimitExceeded",
        module="billiard.exceptions",
        message=message,
        arguments=json.dumps([job.hard_seconds]),
    )
    outcome = Outcome(
        task_id=job.claimed.id,
        lease_token=job.claimed.lease_token,
        ending=Ending.FAILED,
        finished_at=datetime.now(UTC),
        error=error,
        # The function was cut off: nothing of its own could call them.
        needs_errbacks=True,
    )
    report = Report(state=states.FAILURE, runtime_seconds=job.hard_seconds or 0.0, shown=message)
    return outcome, report
