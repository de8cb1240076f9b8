"""Workers that are told to end while they run tasks: warm, soft, cold, and warm twice."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from celeriac.core.state import TaskState
from tests.faults.conftest import QUICK
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage

POOLS = ("processes", "threads", "solo")

Open = Callable[..., Stage]


@pytest.fixture
def open_stage(tmp_path: Path, broker: ValkeyServer) -> Iterator[Open]:
    """Return what opens a stage whose worker runs."""
    with ExitStack() as stages:

        def open_(pool: str, *options: str) -> Stage:
            stage = stages.enter_context(Stage(tmp_path, broker=broker, pool=pool, settings=QUICK))
            stage.worker = stage.add_worker("ending", arguments=("--without-mingle", *options))
            stage.worker.start_ready()
            return stage

        yield open_


def tell(stage: Stage, name: str) -> None:
    """Send the worker a signal, and wait until it has heard it or has ended."""

    def heard() -> int:
        return stage.worker.log_text().count("shutdown (MainProcess)")

    before = heard()
    stage.worker.signal(getattr(signal, f"SIG{name}"))
    wait_until(lambda: heard() > before or not stage.worker.is_running, f"{name} is heard")


def assert_given_back(stage: Stage, task_id: str, endings: list[str]) -> None:
    """Check that a task waits for another worker and is not charged with a crash."""
    task = stage.get(task_id)
    assert (task.state, task.crashes) == (TaskState.QUEUED, 0)
    assert stage.endings(task_id) == endings


@pytest.mark.parametrize("pool", POOLS)
def test_warm_shutdown_finishes_what_runs_and_gives_back_what_waits(
    open_stage: Open, pool: str, key: str
) -> None:
    stage = open_stage(pool)
    wait_for, together = stage.client.wait_for, stage.client.waiting.wait_for
    beside = [together.delay(f"{key}:gate", f"{key}:beside").id for _ in range(3)]
    stage.wait_for_effect(f"{key}:beside:start", count=3)
    running = [wait_for.delay(f"{key}:gate", key).id for _ in range(stage.concurrency)]
    stage.wait_for_effect(f"{key}:start", count=stage.concurrency)
    waiting = [wait_for.delay(f"{key}:gate", f"{key}:waiting").id for _ in range(5)]

    stage.worker.signal(signal.SIGTERM)
    stage.worker.wait_for_log("Warm shutdown")
    stage.gates.open(f"{key}:gate")
    code = stage.worker.wait(seconds=20)

    assert code == 0
    for task_id in (*running, *beside):
        assert stage.get(task_id).state is TaskState.COMPLETED
        assert stage.endings(task_id) == ["completed"]
    for task_id in waiting:
        assert_given_back(stage, task_id, [])
    assert stage.effects.of(f"{key}:waiting:start") == []
    assert stage.ledger.leases.workers() == ()


@pytest.mark.parametrize("pool", POOLS)
def test_who_listens_is_told_of_the_end_of_a_worker_and_of_its_processes(
    open_stage: Open, pool: str
) -> None:
    stage = open_stage(pool)

    stage.worker.signal(signal.SIGTERM)
    code = stage.worker.wait(seconds=20)

    assert code == 0
    told: dict[str, list[int]] = defaultdict(list)
    for line in stage.effects.of("signal"):
        told[line.text].append(line.pid)
    assert len(told["worker_shutting_down"]) == len(told["worker_shutdown"]) == 1
    # Each process that has begun; Celery tells of the end of child processes alone.
    begun = told["worker_process_init"] if pool == "processes" else []
    assert sorted(told["worker_process_shutdown"]) == sorted(begun)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("signals", [("QUIT",), ("TERM", "TERM"), ("TERM", "QUIT")], ids="-".join)
def test_cold_shutdown_gives_back_what_runs(
    open_stage: Open, pool: str, signals: tuple[str, ...], key: str
) -> None:
    stage = open_stage(pool)
    # Async ones first: a solo worker takes nothing in while it runs a plain one.
    results = [stage.client.waiting.linger.delay(key, 60) for _ in range(3)]
    stage.wait_for_effect(f"{key}:start", count=3)
    results += [stage.client.linger.delay(f"{key}:plain", 60) for _ in range(stage.concurrency)]
    stage.wait_for_effect(f"{key}:plain:start", count=stage.concurrency)

    for name in signals:
        tell(stage, name)
    stage.worker.wait(seconds=20)

    for result in results:
        assert_given_back(stage, result.id, ["lost"])
    assert stage.effects.of(key) == stage.effects.of(f"{key}:plain") == []
    assert stage.ledger.leases.workers() == ()


# A solo worker's soft shutdown waits in the thread that would have to run the task.
@pytest.mark.parametrize("pool", ["processes", "threads"])
def test_soft_shutdown_finishes_what_ends_in_time_and_gives_back_the_rest(
    open_stage: Open, pool: str, key: str
) -> None:
    stage = open_stage(pool, "--", "worker.soft_shutdown_timeout=3")
    long = stage.client.linger.delay(key, 60)
    short = stage.client.wait_for.delay(f"{key}:gate", f"{key}:short")
    stage.wait_for_effect(f"{key}:start")
    stage.wait_for_effect(f"{key}:short:start")
    # Celery waits for what it knows to run.
    inspect = stage.client.app.control.inspect(timeout=5, limit=1)
    name = stage.worker.name
    wait_until(lambda: len((inspect.active() or {}).get(name, ())) == 2, "both are known to run")

    stage.worker.signal(signal.SIGQUIT)
    stage.worker.wait_for_log("Initiating Soft Shutdown")
    stage.gates.open(f"{key}:gate")
    stage.worker.wait(seconds=25)

    assert stage.endings(short.id) == ["completed"]
    assert_given_back(stage, long.id, ["lost"])
