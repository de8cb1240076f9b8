"""Tasks that bring down what runs them: given up after three attempts, and alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.state import ErrorKind, TaskState
from tests.faults.conftest import QUICK
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One worker that outlives every child it loses in this module."""
    folder = tmp_path_factory.mktemp("poison")
    with (
        ValkeyServer(folder / "valkey") as broker,
        Stage(folder, broker=broker, settings=QUICK) as stage,
    ):
        stage.worker.start_ready()
        yield stage


def assert_given_up(stage: Stage, task_id: str) -> None:
    """Check that a task is failed for the loss of its workers, after exactly three attempts."""
    task = stage.get(task_id)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert task.error.kind is ErrorKind.WORKER_LOST
    assert (task.attempt, task.crashes) == (3, 3)
    assert stage.endings(task_id) == ["lost"] * 3


def assert_completed(stage: Stage, ids: Sequence[str]) -> None:
    """Check that tasks have completed, whatever was between."""
    assert {stage.get(task_id).state for task_id in ids} == {TaskState.COMPLETED}


@pytest.mark.parametrize(
    "hazard",
    ["segfault", "leave_at_once", "kill_self", "ask_python_to_end", "run_out_of_memory"],
)
def test_task_that_ends_its_process_is_given_up_and_its_neighbours_are_unharmed(
    running_stage: Stage, hazard: str, key: str
) -> None:
    stage, client = running_stage, running_stage.client
    pid = stage.worker.pid
    before = [client.mark.delay(f"{key}:{each}").id for each in range(10)]
    poison = getattr(client.harmful, hazard).delay(key)
    after = [client.mark.delay(f"{key}:{each}").id for each in range(10, 20)]

    stage.wait_until_all_end(seconds=60)

    assert_given_up(stage, poison.id)
    assert len(stage.effects.of(key)) == 3
    assert len({line.pid for line in stage.effects.of(key)}) == 3
    for number, task_id in enumerate((*before, *after)):
        assert stage.endings(task_id) == ["completed"]
        assert len(stage.effects.of(f"{key}:{number}")) == 1
    # The pool has its size again, and the worker is the same.
    with stage.all_slots_taken(f"{key}:after"):
        assert len({line.pid for line in stage.effects.of(f"{key}:after:start")}) == 2
    assert stage.worker.pid == pid
    assert stage.worker.is_running


def test_async_task_that_ends_its_process_is_given_up_and_its_neighbours_are_not(
    running_stage: Stage, key: str
) -> None:
    stage, together = running_stage, running_stage.client.waiting
    # Longer than the poison lives, so that it takes them along; not much, as each that was taken
    # along twice runs alone.
    beside = [together.linger.delay(f"{key}:{each}", 1.0).id for each in range(5)]
    poison = together.die.delay(key)

    stage.wait_until_all_end(seconds=60)

    assert_given_up(stage, poison.id)
    assert_completed(stage, beside)
    assert max(stage.get(task_id).crashes for task_id in beside) == 2


@pytest.mark.parametrize("pool", ["processes", "threads"])
def test_task_that_ends_its_worker_is_given_up_and_its_neighbours_are_acquitted(
    tmp_path: Path, broker: ValkeyServer, pool: str, key: str
) -> None:
    settings = {**QUICK, "CELERIAC_ASYNC_SLOTS": "10"}
    with Stage(tmp_path, broker=broker, pool=pool, concurrency=3, settings=settings) as stage:
        client: Any = stage.client
        stage.worker.start_ready()
        # Longer than the poison waits before it kills, so that they run whenever it does.
        beside = [client.linger.delay(f"{key}:{each}", 2.0).id for each in range(2)]
        beside += [client.waiting.linger.delay(f"{key}:{each}", 2.0).id for each in range(2, 4)]
        poison = client.harmful.kill_worker.delay(key, 1.0)

        restart_until_ended(stage, poison.id, seconds=90)
        stage.wait_until_all_end(seconds=60)

        assert_given_up(stage, poison.id)
        assert_completed(stage, beside)
        # Each was charged with what it might have done, and none with what it cannot have.
        assert {stage.get(task_id).crashes for task_id in beside} <= {0, 1, 2}
        assert max(stage.get(task_id).crashes for task_id in beside) == 2


def test_task_that_ends_a_solo_worker_is_given_up_and_what_ran_beside_it_is_acquitted(
    tmp_path: Path, broker: ValkeyServer, key: str
) -> None:
    with Stage(tmp_path, broker=broker, pool="solo", settings=QUICK) as stage:
        client: Any = stage.client
        stage.worker.start_ready()
        # Beside a plain task of such a worker only async ones run.
        beside = [client.waiting.linger.delay(f"{key}:{each}", 2.0).id for each in range(3)]
        for each in range(3):
            stage.wait_for_effect(f"{key}:{each}:start")
        poison = client.harmful.kill_worker.delay(key, 0.2)

        restart_until_ended(stage, poison.id, seconds=90)
        stage.wait_until_all_end(seconds=60)

        assert_given_up(stage, poison.id)
        assert_completed(stage, beside)
        assert {stage.get(task_id).crashes for task_id in beside} <= {1, 2}


def restart_until_ended(stage: Stage, task_id: str, *, seconds: float) -> None:
    """Start the worker again whenever it has died, as a supervisor does, until a task has ended."""
    deadline = time.monotonic() + seconds
    while stage.get(task_id).finished_at is None:
        if not stage.worker.is_running:
            stage.worker.kill_group()
            stage.worker.start()
        if time.monotonic() > deadline:
            raise stage.worker.failed(f"left {stage.get(task_id)}")
        time.sleep(0.05)
    if not stage.worker.is_running:
        stage.worker.start()
