"""What a backlog costs a worker in memory: nothing to speak of."""

from __future__ import annotations

from pathlib import Path

from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from tests.servers.processes import wait_until
from tests.stage import Stage

_BACKLOG = 100_000
_AT_ONCE = 1_000
# Where the ringer tops up: half of the doorbells that may lie in the broker.
_DOORBELLS = 10_000
_MOST_MIB = 150


def test_a_long_backlog_stays_out_of_the_worker_s_memory(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    with stage.all_slots_taken(key):
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
        wait_until(lambda: _doorbells(stage) >= _DOORBELLS, "the backlog is rung", seconds=60)

        assert _resident_mib(stage.worker.pid) < _MOST_MIB

        # Nobody waits for these: the test's worker ends with what it has.
        stage.ledger.queues.pause("default", by=None)


def _doorbells(stage: Stage) -> int:
    client = stage.broker.client()
    return sum(client.llen(each) for each in client.keys("default*"))


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(each for each in lines if each.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
