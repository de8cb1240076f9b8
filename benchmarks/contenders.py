"""Workers that drain a queue: how each is filled, and how one sees that it is empty."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis

from celeriac.core.page import TaskFilter
from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from celeriac.ledger.open import open_ledger

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One drain of one contender."""

    tasks_per_second: float
    # CPU seconds of the worker with all its processes, per 1,000 tasks, start-up left out.
    cpu_per_thousand: float


class Contender(Protocol):
    """Somebody who drains a queue of no-op tasks."""

    name: str

    def fill(self, count: int) -> None:
        """Queue tasks while no worker runs."""

    def left(self) -> int:
        """Return how many tasks have not ended."""

    def command(self) -> list[str]:
        """Return the worker's command."""

    def environment(self) -> dict[str, str]:
        """Return what the worker needs in its environment."""


_WORKER = ("worker", "-c", "2", "-Q", "default", "--loglevel=error", "--without-mingle")


class Stock:
    """Stock Celery on Redis."""

    name = "stock Celery prefork -c2"

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._client = redis.Redis.from_url(broker_url)

    def fill(self, count: int) -> None:
        """Queue tasks while no worker runs."""
        self._client.flushall()
        script = (
            "from benchmarks.apps.stock import app, noop\n"
            "with app.producer_or_acquire() as producer, producer.batch():\n"
            f"    [noop.apply_async((n,), producer=producer) for n in range({count})]\n"
        )
        environment = {**os.environ, **self.environment()}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)  # noqa: S603

    def left(self) -> int:
        """Return how many tasks have not ended."""
        lengths: Any = self._client.llen("default")
        unacknowledged: Any = self._client.hlen("unacked")
        return int(lengths) + int(unacknowledged)

    def command(self) -> list[str]:
        """Return the worker's command."""
        return [sys.executable, "-m", "celery", "-A", "benchmarks.apps.stock", *_WORKER]

    def environment(self) -> dict[str, str]:
        """Return what the worker needs in its environment."""
        return {"BENCH_BROKER": self._url}


class Ours:
    """Celeriac on a ledger."""

    def __init__(self, name: str, broker_url: str, database_url: str, folder: Path) -> None:
        self.name = name
        self._url = broker_url
        self._database_url = database_url
        self._folder = folder
        self._client = redis.Redis.from_url(broker_url)
        self._ledger = open_ledger(database_url)
        self._round = 0
        self._last: list[TaskId] = []

    def fill(self, count: int) -> None:
        """Queue tasks while no worker runs."""
        self._client.flushall()
        self._round += 1
        for start in range(0, count, _BATCH):
            arguments = Arguments(codec=Codec.JSON, text="[[1],{}]")
            tasks = [
                NewTask(id=TaskId(f"{self._round}-{n}"), name="noop", arguments=arguments)
                for n in range(start, min(start + _BATCH, count))
            ]
            self._ledger.tasks.insert(tasks)
        # Rung by a process that has Celery, which this one need not.
        script = (
            "from benchmarks.apps.ours import app\n"
            "engine = app.celeriac\n"
            "engine.ledger.sweeps.ring_all_due()\n"
            "from datetime import timedelta\n"
            "bells = engine.ledger.sweeps.due_to_ring('default', limit=100000,"
            " again=timedelta(seconds=60))\n"
            "engine.publisher.ring(bells)\n"
            "engine.close()\n"
        )
        environment = {**os.environ, **self.environment()}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)  # noqa: S603

    def left(self) -> int:
        """Return how many tasks have not ended."""
        queued = self._ledger.sweeps.queue_counts().get("default", 0)
        if queued:
            return queued
        newest = self._ledger.tasks.list(TaskFilter(), after=None, limit=1).items
        return 0 if newest and newest[0].state.is_final else 1

    def command(self) -> list[str]:
        """Return the worker's command."""
        return [sys.executable, "-m", "celery", "-A", "benchmarks.apps.ours", *_WORKER]

    def environment(self) -> dict[str, str]:
        """Return what the worker needs in its environment."""
        return {
            "CELERIAC_BROKER_URL": self._url,
            "CELERIAC_DATABASE_URL": self._database_url,
            "CELERIAC_DATA_DIR": str(self._folder),
        }


def drain(contender: Contender, count: int) -> Drained:
    """Fill a contender's queue, start its worker, and time it from its first task to its last."""
    contender.fill(count)
    with _running(contender) as worker:
        begun = count
        while begun >= count:
            time.sleep(0.02)
            begun = contender.left()
        began, cpu = time.monotonic(), _cpu_seconds(worker.pid)
        while contender.left():
            time.sleep(0.05)
        seconds = time.monotonic() - began
        used = _cpu_seconds(worker.pid) - cpu
    return Drained(tasks_per_second=begun / seconds, cpu_per_thousand=used / begun * 1000)


@contextmanager
def _running(contender: Contender) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **contender.environment()}
    worker = subprocess.Popen(contender.command(), env=environment)  # noqa: S603
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(30)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all that come from it, by Linux's own books."""
    ticks = 0
    for each in _family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))
