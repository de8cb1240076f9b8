"""Task processes that die: only what they ran is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chord
from celery.exceptions import WorkerLostError

from celeriac.core.state import ErrorKind, TaskState
from tests.faults.conftest import QUICK
from tests.servers.processes import is_alive, wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One worker that outlives every child it loses in this module."""
    folder = tmp_path_factory.mktemp("children")
    with (
        ValkeyServer(folder / "valkey") as broker,
        Stage(folder, broker=broker, settings=QUICK) as stage,
    ):
        stage.worker.start_ready()
        yield stage


@pytest.fixture
def stage(running_stage: Stage) -> Iterator[Stage]:
    """The running stage; its worker must be the same one after each test."""
    pid = running_stage.worker.pid
    yield running_stage
    running_stage.wait_until_all_end()
    assert running_stage.worker.is_running
    assert running_stage.worker.pid == pid


def test_killed_child_costs_only_the_task_that_it_ran(stage: Stage, key: str) -> None:
    client: Any = stage.client
    killed = client.linger.delay(f"{key}:killed", 1.0)
    spared = client.linger.delay(f"{key}:spared", 1.0)
    behind = [client.mark.delay(f"{key}:{each}") for each in range(20)]
    stage.wait_for_effect(f"{key}:killed:start")
    stage.wait_for_effect(f"{key}:spared:start")
    child = stage.effects.of(f"{key}:killed:start")[0].pid

    stage.worker.kill_child(child)

    assert killed.get(timeout=20) == f"{key}:killed"
    assert spared.get(timeout=20) == f"{key}:spared"
    assert [each.get(timeout=20) for each in behind] == [f"{key}:{i}" for i in range(20)]
    assert stage.get(killed.id).crashes == 1
    assert stage.endings(killed.id) == ["lost", "completed"]
    for result in (spared, *behind):
        assert stage.get(result.id).crashes == 0
        assert stage.endings(result.id) == ["completed"]
    assert len(stage.effects.of(f"{key}:spared")) == 1


def test_task_of_a_killed_child_runs_again_soon(stage: Stage, key: str) -> None:
    result = stage.client.die_once.delay(key)

    assert result.get(timeout=20) == "alive"

    first, second = stage.effects.of(key)
    assert second.at - first.at < 4
    assert first.pid != second.pid


def test_task_that_kills_every_child_is_given_up_and_its_neighbours_are_not(
    stage: Stage, key: str
) -> None:
    client: Any = stage.client
    before = [client.mark.delay(f"{key}:before:{each}") for each in range(10)]
    poison = client.die.delay(f"{key}:poison")
    after = [client.mark.delay(f"{key}:after:{each}") for each in range(10)]

    with pytest.raises(WorkerLostError):
        poison.get(timeout=30)

    task = stage.get(poison.id)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert task.error.kind is ErrorKind.WORKER_LOST
    assert (task.attempt, task.crashes) == (3, 3)
    assert stage.endings(poison.id) == ["lost"] * 3
    assert len(stage.effects.of(f"{key}:poison")) == 3
    for neighbour in (*before, *after):
        neighbour.get(timeout=20)
        assert stage.get(neighbour.id).crashes == 0
        assert stage.endings(neighbour.id) == ["completed"]


def test_task_that_is_given_up_calls_its_errback_and_fails_its_chain(
    stage: Stage, key: str
) -> None:
    client: Any = stage.client
    links = client.die.s(f"{key}:poison") | client.note.s(f"{key}:note")

    result = links.apply_async(link_error=client.keyed_errback.s(f"{key}:errback"))

    stage.wait_for_effect(f"{key}:errback", seconds=30)
    error = stage.wait_for_state(result.id, TaskState.FAILED).error
    assert error is not None
    assert error.kind is ErrorKind.UPSTREAM
    stage.wait_until_all_end()
    assert len(stage.effects.of(f"{key}:errback")) == 1
    assert stage.effects.of(f"{key}:note") == []


def test_chord_with_a_part_that_is_given_up_fails_its_body_once(stage: Stage, key: str) -> None:
    client: Any = stage.client
    header = [client.add.s(1, 1), client.die.s(f"{key}:poison")]
    body = client.collect.s(key=key).on_error(client.keyed_errback.s(f"{key}:errback"))

    result = chord(header)(body)

    stage.wait_for_state(result.id, TaskState.FAILED, seconds=30)
    stage.wait_for_effect(f"{key}:errback")
    stage.wait_until_all_end()
    assert len(stage.effects.of(f"{key}:errback")) == 1
    assert stage.effects.of(key) == []


def test_task_that_ends_python_does_not_end_the_worker(stage: Stage, key: str) -> None:
    result = stage.client.leave_python.delay(key)

    result.get(timeout=30, propagate=False)

    assert stage.get(result.id).state is TaskState.FAILED
    assert stage.client.add.delay(1, 1).get(timeout=20) == 2


def test_pool_has_its_size_again_after_its_children_were_killed(stage: Stage, key: str) -> None:
    with stage.all_slots_taken(f"{key}:before"):
        children = {line.pid for line in stage.effects.of(f"{key}:before:start")}
        for child in children:
            stage.worker.kill_child(child)
        wait_until(lambda: not any(map(is_alive, children)), "the children are dead")
    stage.wait_until_all_end()

    with stage.all_slots_taken(f"{key}:after"):
        # As many tasks at a time as before, each in a process of its own.
        assert len({line.pid for line in stage.effects.of(f"{key}:after:start")}) == 2
