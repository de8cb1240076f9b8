"""How a task ends that did not end by itself, whichever runner had it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from celery import states

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import TaskError
from celeriac.engine.executor import Report
from celeriac.engine.pool.job import Job


def ended(job: Job, ending: Ending) -> Outcome:
    """Return the end of a task of which there is nothing more to say."""
    return Outcome(
        task_id=job.claimed.id,
        lease_token=job.claimed.lease_token,
        ending=ending,
        finished_at=datetime.now(UTC),
    )


def cut_off(job: Job) -> Outcome:
    """Return the end of a task that was cut off by its worker's end: no task is to blame."""
    return ended(job, Ending.LOST)._replace(is_suspect=False)


def timed_out(job: Job, *, is_soft: bool = False) -> tuple[Outcome, Report]:
    """Return the end of a task that was stopped by its hard limit, or late by its soft one."""
    name = "SoftTimeLimitExceeded" if is_soft else "TimeLimitExceeded"
    seconds = job.soft_seconds if is_soft else job.hard_seconds
    message = f"{name}({seconds},)"
    error = TaskError(
        kind=ErrorKind.TIMEOUT,
        type=name,
        module="billiard.exceptions",
        message=message,
        arguments=json.dumps([seconds]),
    )
    # The function was cut off: nothing of its own could call its errbacks.
    outcome = ended(job, Ending.FAILED)._replace(error=error, needs_errbacks=True)
    report = Report(state=states.FAILURE, runtime_seconds=seconds or 0.0, shown=message)
    return outcome, report
