"""Task functions that submit and await other tasks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.apps.troubles import TroubleError
from tests.stage import Stage


@pytest.fixture
def queue_for_joins(stage: Stage) -> str:
    """A queue whose tasks can run while another task waits for them."""
    if stage.pool != "solo":
        return "default"
    # A solo worker runs one task at a time, so somebody else has to run what it waits for. It
    # stays until the stage is closed: a start costs more than all of these tests.
    if not any(worker.name.startswith("helper") for worker in stage.workers):
        stage.add_worker("helper", queues=("joins",)).start_ready()
    return "joins"


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


@pytest.mark.parametrize(
    ("joining", "arguments", "joined"),
    [
        ("join_other", (1,), 2),
        ("join_group", (5,), [0, 2, 4, 6, 8]),
        ("join_failing", (), "ValueError('no good', 7)"),
    ],
)
def test_task_waits_in_its_body_for_others(
    client: Any, queue_for_joins: str, joining: str, arguments: tuple[int, ...], joined: Any
) -> None:
    # What ran before tells the worker that tasks are short, and may be handed on in heaps.
    short = [client.add.delay(each, each) for each in range(30)]
    assert [each.get(timeout=15) for each in short] == [2 * each for each in range(30)]

    result = getattr(client, joining).delay(*arguments, queue_for_joins)

    assert result.get(timeout=25) == joined


def test_forbidden_join_in_a_body_fails_the_task(client: Any) -> None:
    result = client.join_unasked.delay()

    with pytest.raises(RuntimeError, match="Never call"):
        result.get(timeout=15)
