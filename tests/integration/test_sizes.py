"""Workers whose slots come and go: replaced children, pools that grow and shrink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from celeriac.core.state import TaskState
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage

Open = Callable[..., Stage]


@pytest.fixture
def open_stage(tmp_path: Path) -> Iterator[Open]:
    """Return what opens a stage whose worker runs, with a broker and options of its own."""
    with ExitStack() as stages:
        broker = stages.enter_context(ValkeyServer(tmp_path / "valkey"))

        def open_(*options: str, pool: str = "processes", concurrency: int = 2) -> Stage:
            stage = stages.enter_context(
                Stage(tmp_path, broker=broker, pool=pool, concurrency=concurrency)
            )
            stage.worker = stage.add_worker("sized", arguments=("--without-mingle", *options))
            stage.worker.start_ready()
            return stage

        yield open_


def run_all_with(stage: Stage, ids: Sequence[str]) -> None:
    """Wait until tasks have completed, each at its first attempt and without a crash."""
    stage.wait_until_all_end(seconds=60)
    tasks = [stage.get(task_id) for task_id in ids]
    assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert {task.attempt for task in tasks} == {1}
    assert {task.crashes for task in tasks} == {0}


def test_children_are_replaced_when_they_have_run_their_tasks(open_stage: Open, key: str) -> None:
    stage = open_stage("--max-tasks-per-child=5")

    results = [stage.client.mark.delay(key) for _ in range(30)]

    run_all_with(stage, [result.id for result in results])
    by_child = Counter(line.pid for line in stage.effects.of(key))
    assert by_child.total() == 30
    assert max(by_child.values()) <= 5
    assert not stage.worker.log_text().count("a child died")


def test_children_of_async_tasks_are_replaced_too(open_stage: Open, key: str) -> None:
    stage = open_stage("--max-tasks-per-child=5", concurrency=1)
    stage.gates.open(key)

    results = [stage.client.waiting.wait_for.delay(key) for _ in range(20)]

    run_all_with(stage, [result.id for result in results])
    by_child = Counter(line.pid for line in stage.effects.of(key))
    assert by_child.total() == 20
    assert max(by_child.values()) <= 5


def test_children_that_hold_too_much_memory_are_replaced(open_stage: Open, key: str) -> None:
    stage = open_stage("--max-memory-per-child=300000")

    # A child is at its limit after four of these, at the latest.
    results = [stage.client.harmful.hoard.delay(key, 80) for _ in range(16)]

    run_all_with(stage, [result.id for result in results])
    by_child = Counter(line.pid for line in stage.effects.of(key))
    assert by_child.total() == 16
    assert max(by_child.values()) <= 4


@contextmanager
def running_at_once(stage: Stage, key: str, count: int) -> Iterator[None]:
    """Submit more tasks than may run at once; yield when as many run as should."""
    for _ in range(count + 3):
        stage.client.wait_for.delay(f"{key}:gate", key)
    stage.wait_for_effect(f"{key}:start", count=count)
    stage.wait_until_quiet()
    assert len(stage.effects.of(f"{key}:start")) == count
    yield
    stage.gates.open(f"{key}:gate")
    stage.wait_until_all_end(seconds=30)


@pytest.mark.parametrize("pool", ["processes", "threads"])
def test_pool_grows_and_shrinks_by_remote_control(open_stage: Open, pool: str, key: str) -> None:
    stage = open_stage(pool=pool)
    control = stage.client.app.control

    grown = control.pool_grow(2, reply=True, timeout=10, limit=1)

    assert [reply[stage.worker.name] for reply in grown] == [{"ok": "pool will grow"}]
    with running_at_once(stage, f"{key}:grown", 4):
        # The ones that run are finished, whatever becomes of their slots.
        control.pool_shrink(3, reply=True, timeout=10, limit=1)
    assert {task.crashes for task in stage.list_tasks(TaskState.COMPLETED)} == {0}
    with running_at_once(stage, f"{key}:shrunk", 1):
        pass
    assert stage.worker.is_running


def test_solo_pool_says_that_it_cannot_grow(open_stage: Open) -> None:
    stage = open_stage(pool="solo")

    replies = stage.client.app.control.pool_grow(1, reply=True, timeout=10, limit=1)

    assert "solo pool runs one task at a time" in replies[0][stage.worker.name]["error"]


@pytest.mark.parametrize("pool", ["processes", "threads"])
def test_autoscale_follows_the_load(
    open_stage: Open, monkeypatch: pytest.MonkeyPatch, pool: str, key: str
) -> None:
    monkeypatch.setenv("AUTOSCALE_KEEPALIVE", "0.5")
    stage = open_stage("--autoscale=4,1", pool=pool)

    with running_at_once(stage, f"{key}:busy", 4):
        pass

    stage.worker.wait_for_log("Scaling down")
    wait_until(lambda: slots_of(stage) == 1, "the pool has one slot again", seconds=30)
    with running_at_once(stage, f"{key}:again", 4):
        pass
    assert {task.crashes for task in stage.list_tasks(TaskState.COMPLETED)} == {0}


def slots_of(stage: Stage) -> int:
    """Return how many slots a worker says that it has."""
    stats = stage.client.app.control.inspect(timeout=5, limit=1).stats() or {}
    return int(stats[stage.worker.name]["pool"]["max-concurrency"]) if stats else 0
