"""What tasks cost a worker in memory, before and after they ran: nothing to speak of."""

from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage

_BACKLOG = 100_000
_AT_ONCE = 1_000
# Where the ringer tops up: half of the doorbells that may lie in the broker.
_DOORBELLS = 10_000
_MOST_MIB = 150
# A leak of a hundred bytes a task would show.
_MOST_GROWTH_MIB = 10.0


def test_a_long_backlog_stays_out_of_the_worker_s_memory(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    for _ in range(stage.concurrency):
        stage.client.wait_for.delay(key)
    stage.wait_for_effect(f"{key}:start", count=stage.concurrency)
    arguments = Arguments(codec=Codec.JSON, text="[[1, 2], {}]")
    name = stage.client.add.name
    for first in range(0, _BACKLOG, _AT_ONCE):
        stage.ledger.tasks.insert(
            [
                NewTask(id=TaskId(f"{key}-{n}"), name=name, arguments=arguments)
                for n in range(first, first + _AT_ONCE)
            ]
        )
    stage.ledger.sweeps.ring_all_due()
    wait_until(lambda: stage.doorbells() >= _DOORBELLS, "the backlog is rung", seconds=60)

    assert _resident_mib(stage.worker.pid) < _MOST_MIB
    # Nobody waits for these.
    stage.worker.kill()


@pytest.mark.parametrize(("name", "arguments"), [("add", "[[1, 2], {}]"), ("nap", "[[0.0], {}]")])
def test_nobody_grows_with_the_tasks_that_were_run(
    tmp_path: Path, broker: ValkeyServer, name: str, arguments: str
) -> None:
    with Stage(tmp_path, broker=broker, concurrency=1) as stage:
        stage.worker.start_ready()
        client = stage.client
        task = client.add if name == "add" else client.waiting.nap
        # What a child warms up with takes longer than one would think.
        _run_many(stage, task.name, arguments, "first", 10_000)
        before = {pid: _resident_mib(pid) for pid in stage.worker.descendants()}

        _run_many(stage, task.name, arguments, "then", _BACKLOG)

        # Its peak, while all of them were waiting or being run.
        assert _resident_mib(stage.worker.pid, "VmHWM") < _MOST_MIB
        after = {pid: _resident_mib(pid) for pid in stage.worker.descendants()}
        assert after.keys() == before.keys()
        assert max(after[pid] - before[pid] for pid in before) < _MOST_GROWTH_MIB


def _run_many(stage: Stage, name: str, text: str, key: str, count: int) -> None:
    arguments = Arguments(codec=Codec.JSON, text=text)
    for first in range(0, count, _AT_ONCE):
        ids = [TaskId(f"{key}-{n}") for n in range(first, first + _AT_ONCE)]
        stage.ledger.tasks.insert(
            [NewTask(id=each, name=name, arguments=arguments) for each in ids]
        )
    stage.ledger.sweeps.ring_all_due()
    stage.wait_until_all_end(seconds=150)


def _resident_mib(pid: int, figure: str = "VmRSS") -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(each for each in lines if each.startswith(f"{figure}:"))
    return int(line.split()[1]) / 1024
