from __future__ import annotations

from datetime import UTC

import pytest

from celeriac.core.outcome import Ending
from celeriac.core.state import ErrorKind
from celeriac.engine.pool.ends import timed_out
from celeriac.engine.pool.job import Job
from tests.engines import make_claimed


def _job(began: float | None = 100.0) -> Job:
    return Job(make_claimed("add"), object(), soft_seconds=2.0, hard_seconds=5.0, began=began)


@pytest.mark.parametrize(
    ("now", "is_soft_due", "is_hard_due"),
    [
        (101.9, False, False),
        # The limit belongs to the time that is over.
        (102.0, True, False),
        (104.9, True, False),
        (105.0, True, True),
    ],
)
def test_a_jobs_limits_are_over_when_their_time_is(
    now: float, *, is_soft_due: bool, is_hard_due: bool
) -> None:
    job = _job()

    assert job.soft_due(now) is is_soft_due
    assert job.hard_due(now) is is_hard_due


def test_a_limit_is_told_once() -> None:
    job = _job()

    job.is_soft_told = job.is_timed_out = True

    assert not job.soft_due(200.0)
    assert not job.hard_due(200.0)


def test_a_job_that_waits_for_a_slot_has_no_limit() -> None:
    job = _job(began=None)

    assert not job.soft_due(1e9)
    assert not job.hard_due(1e9)


def test_a_job_without_limits_is_never_over() -> None:
    job = Job(make_claimed("add"), object(), soft_seconds=None, hard_seconds=None, began=0.0)

    assert not job.soft_due(1e9)
    assert not job.hard_due(1e9)


def test_a_job_is_no_other_job_of_the_same_task() -> None:
    assert _job() != _job()


def test_a_task_over_its_hard_limit_fails_with_celerys_words_and_calls_its_errbacks() -> None:
    outcome, report = timed_out(_job())

    assert outcome.ending is Ending.FAILED
    assert outcome.lease_token == "lease"
    assert outcome.needs_errbacks
    assert outcome.finished_at.tzinfo is UTC
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.TIMEOUT
    assert outcome.error.module == "billiard.exceptions"
    assert outcome.error.type == "TimeLimitExceeded"
    assert outcome.error.arguments == "[5.0]"
    assert report.state == "FAILURE"
    assert report.runtime_seconds == 5.0
