"""A worker takes as much as its slots can run soon, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.state import TaskState
from tests.servers.processes import wait_until
from tests.stage import Stage


@pytest.mark.only(pool="processes threads")
def test_short_tasks_end_while_a_long_one_runs(stage: Stage, client: Any, key: str) -> None:
    long = client.linger.delay(key, 30)
    stage.wait_for_effect(f"{key}:start")

    short = [client.slow_add.delay(each, 1, 0.01) for each in range(100)]

    # They would end within three seconds on a quiet machine; here it counts that none of them
    # had to wait for the long one.
    assert [each.get(timeout=25) for each in short] == [each + 1 for each in range(100)]
    assert stage.get(long.id).state is TaskState.RUNNING
    first = min(_moment(stage.get(each.id).started_at) for each in short)
    last = max(_moment(stage.get(each.id).finished_at) for each in short)
    assert (last - first).total_seconds() < 15
    client.app.control.revoke(long.id, terminate=True)
    stage.wait_for_state(long.id, TaskState.CANCELLED)


@pytest.mark.only(pool="processes threads")
def test_a_long_task_in_the_midst_of_short_ones_holds_none_of_them_up(
    stage: Stage, client: Any, key: str
) -> None:
    before = [client.slow_add.delay(each, 1, 0.01) for each in range(50)]
    long = client.linger.delay(key, 30)
    behind = [client.slow_add.delay(each, 1, 0.01) for each in range(50)]

    for short in (*before, *behind):
        short.get(timeout=25)

    assert stage.get(long.id).state is TaskState.RUNNING
    client.app.control.revoke(long.id, terminate=True)
    stage.wait_for_state(long.id, TaskState.CANCELLED)


@pytest.mark.only(pool="processes threads")
def test_what_a_busy_worker_holds_goes_to_one_that_is_free(
    stage: Stage, client: Any, key: str
) -> None:
    helper = stage.add_worker("free")
    with stage.all_slots_taken(f"{key}:gate"):
        # All of these are fetched by the only worker there is, and the first ones claimed.
        results = [client.mark.delay(f"{key}:{each}") for each in range(10)]
        helper.start_ready()

        # One may wait with the busy worker, in case that it is the first to be free.
        wait_until(lambda: sum(each.ready() for each in results) >= 9, "the other runs nine")

        ran = [stage.get(each.id) for each in results if each.ready()]
        assert {task.worker for task in ran} == {helper.name}
    helper.stop()
    for each in results:
        each.get(timeout=15)


def _moment(moment: Any) -> Any:
    assert moment is not None
    return moment
