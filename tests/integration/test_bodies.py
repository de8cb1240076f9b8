"""Task functions that submit and await other tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.core.state import TaskState
from tests.integration.apps.troubles import TroubleError
from tests.stage import Stage


@pytest.fixture
def queue_for_joins(stage: Stage) -> Iterator[str]:
    """A queue whose tasks can run while another task waits for them."""
    if stage.pool != "solo":
        yield "default"
        return
    # A solo worker runs one task at a time, so somebody else has to run what it waits for.
    helper = stage.add_worker("helper", queues=("joins",))
    helper.start_ready()
    yield "joins"
    helper.stop()
    stage.workers.remove(helper)


def test_task_submitted_in_a_body_runs(stage: Stage, client: Any) -> None:
    result = client.submit_other.delay(4)

    other = client.app.AsyncResult(result.get(timeout=15))

    assert other.get(timeout=15) == 5
    task = stage.get(other.id)
    assert task.parent_id == result.id
    assert task.root_id == result.id


def test_task_submitted_in_a_body_stands_although_the_body_fails(
    stage: Stage, client: Any, key: str
) -> None:
    result = client.submit_and_fail.delay(key)

    with pytest.raises(TroubleError):
        result.get(timeout=15)

    stage.wait_for_effect(key)


def test_task_waits_in_its_body_for_others(stage: Stage, client: Any, queue_for_joins: str) -> None:
    single = client.join_other.delay(1, queue_for_joins)
    several = client.join_group.delay(5, queue_for_joins)
    failing = client.join_failing.delay(queue_for_joins)

    assert single.get(timeout=25) == 2
    assert several.get(timeout=25) == [0, 2, 4, 6, 8]
    assert failing.get(timeout=25) == "ValueError('no good', 7)"
    assert stage.get(single.id).state is TaskState.COMPLETED


def test_forbidden_join_in_a_body_fails_the_task(client: Any) -> None:
    result = client.join_unasked.delay()

    with pytest.raises(RuntimeError, match="Never call"):
        result.get(timeout=15)
