"""Workers that are killed, stopped and sent home while they run tasks."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.errors import UnavailableError
from tests.faults.history import reading
from tests.servers.processes import is_alive, wait_until
from tests.stage import Stage

TASKS = 500


def wait_for_lines(stage: Stage, more: int) -> None:
    """Wait until the tasks have left some more lines than there are now."""
    wanted = len(stage.effects.all()) + more
    wait_until(lambda: len(stage.effects.all()) >= wanted, f"{more} more lines")


def stop_between_writes(stage: Stage) -> list[int]:
    """Stop the worker's processes while it has no lock of the ledger's; return which they are.

    A SQLite file has one writer: while that one is stopped amid its transaction, nobody writes.
    """
    pids = [stage.worker.pid, *stage.worker.descendants()]
    while True:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            stage.ledger.queues.resume("elsewhere")
        except UnavailableError:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        else:
            return pids


def test_every_task_completes_once_while_its_workers_are_killed(
    stage_on_either_ledger: Stage, key: str
) -> None:
    stage = stage_on_either_ledger
    stage.worker.start_ready()

    def submit(number: int) -> str:
        result = stage.client.mark_before.delay(f"{key}:{number}", 0.05)
        return str(result.id)

    newest = TaskFilter()
    with (
        reading(lambda: stage.ledger.tasks.list(newest, after=None, limit=200).items) as history,
        ThreadPoolExecutor(8) as clients,
    ):
        submitted = clients.map(submit, range(TASKS))
        interrupted = 0
        kills = 0
        while interrupted < 5 or kills < 3:
            wait_for_lines(stage, 20)
            stage.worker.kill()
            kills += 1
            running = stage.list_tasks(TaskState.RUNNING)
            assert running, "the worker was killed too late to interrupt anything"
            interrupted += len(running)
            stage.worker.start_ready()
        ids = list(submitted)
        stage.wait_until_all_end(seconds=60)

    assert len(set(ids)) == TASKS
    assert history.problems() == []
    assert len(history) > TASKS
    lost = 0
    for number, task_id in enumerate(ids):
        endings = stage.endings(task_id)
        lines = stage.effects.of(f"{key}:{number}")
        lost += endings.count("lost")
        assert stage.get(task_id).state is TaskState.COMPLETED
        assert endings.count("completed") == 1
        assert 1 <= len(lines) <= 1 + endings.count("lost"), endings
    assert lost >= 5


def test_children_die_with_their_worker(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    stage.client.linger.delay(key, 30)
    stage.wait_for_effect(f"{key}:start")
    family = stage.worker.descendants()
    assert len(family) >= stage.concurrency

    stage.worker.kill()

    wait_until(lambda: not any(map(is_alive, family)), "no child is left", seconds=5)
    assert stage.effects.of(key) == []


def test_another_worker_takes_over_what_a_killed_one_ran(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    result = stage.client.wait_for.delay(key)
    stage.wait_for_effect(f"{key}:start")
    other = stage.add_worker("other")
    other.start_ready()

    family = stage.worker.descendants()
    stage.worker.kill()
    # Each dies with the one that made it, and a busy machine takes its time: a child that lived on
    # at an open gate would leave its line.
    wait_until(lambda: not any(map(is_alive, family)), "no child is left")
    stage.gates.open(key)

    assert result.get(timeout=20) == key
    task = stage.get(result.id)
    assert task.worker == other.name
    assert (task.attempt, task.crashes) == (2, 1)
    assert stage.endings(result.id) == ["lost", "completed"]
    assert len(stage.effects.of(f"{key}:start")) == 2
    assert len(stage.effects.of(key)) == 1


def test_late_word_of_a_worker_that_was_given_up_is_not_heard(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    result = stage.client.wait_for.delay(key)
    stage.wait_for_effect(f"{key}:start")
    other = stage.add_worker("other")
    other.start_ready()
    stopped = stop_between_writes(stage)

    # The other one takes over, and is through before the first one wakes.
    stage.wait_for_effect(f"{key}:start", count=2, seconds=30)
    stage.gates.open(key)
    assert result.get(timeout=15) == key
    ended = stage.get(result.id)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    # Both have left their line: the first one has now finished too.
    stage.wait_for_effect(key, count=2)
    after = stage.client.add.delay(1, 1)

    assert after.get(timeout=20) == 2
    assert stage.get(result.id) == ended
    assert ended.worker == other.name
    assert stage.endings(result.id) == ["lost", "completed"]
    # It has joined again and goes on working.
    assert stage.worker.is_running
    wait_until(
        lambda: (
            {worker.name for worker in stage.ledger.leases.workers()}
            == {stage.worker.name, other.name}
        ),
        "both workers are known",
    )


def test_worker_that_is_sent_home_finishes_what_it_runs(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    results = [stage.client.mark_after.delay(f"{key}:{each}", 0.3) for each in range(20)]
    stage.wait_for_effect(f"{key}:0")

    stage.worker.signal(signal.SIGTERM)
    code = stage.worker.wait(seconds=15)

    assert code == 0
    states = {stage.get(result.id).state for result in results}
    assert states == {TaskState.COMPLETED, TaskState.QUEUED}
    assert stage.ledger.leases.workers() == ()

    stage.worker.start_ready()
    stage.wait_until_all_end(seconds=30)
    for number, result in enumerate(results):
        task = stage.get(result.id)
        assert (task.state, task.crashes) == (TaskState.COMPLETED, 0)
        assert len(stage.effects.of(f"{key}:{number}")) == 1


def test_another_janitor_leads_when_the_first_is_killed(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    sweeps = stage.ledger.sweeps
    wait_until(lambda: sweeps.leadership("janitor"), "somebody leads")
    first = sweeps.leadership("janitor")
    other = stage.add_worker("other")
    other.start_ready()
    later = stage.client.mark.apply_async((key,), countdown=1)

    stage.worker.kill()

    # Only a janitor makes a scheduled task queued, and only the other worker is left to have one.
    assert later.get(timeout=20) == key
    second = sweeps.leadership("janitor")
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    assert len(stage.effects.of(key)) == 1
