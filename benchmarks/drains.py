"""Workers that drain a queue which was filled before they started."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psycopg

from benchmarks.peers import PEERS, Peer
from benchmarks.stand import Stand, Watch, new_process, run_to_end
from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from celeriac.ledger.open import open_ledger
from tests.servers.ports import free_port
from tests.servers.processes import Process

_BATCH = 500
_PATIENCE_SECONDS = 600
# So many unfinished tasks are counted at each look at a drain that goes on.
_FEW = 1000
_SQLITE, _POSTGRESQL = "ours-sqlite", "ours-postgresql"


class Drains:
    """One kind of drain, played by one contender at a time."""

    def __init__(
        self, stand: Stand, *, name: str, values: Sequence[float], is_watched: bool = False
    ) -> None:
        """Describe the drain.

        Args:
            stand: The servers.
            name: The task's name.
            values: The argument of each task.
            is_watched: Whether events are on and Flower looks on.
        """
        self._stand = stand
        self._name = name
        self._values = values
        self._is_watched = is_watched

    def __call__(self, contender: str) -> dict[str, float]:
        """Have one contender drain the queue, from its first task's end to its last one's."""
        self._stand.broker.client().flushall()
        if contender in (_SQLITE, _POSTGRESQL):
            return self._ours(contender)
        return self._peer(PEERS[contender])

    def _peer(self, peer: Peer) -> dict[str, float]:
        folder = self._stand.new_folder()
        url = f"redis://127.0.0.1:{self._stand.broker.port}"
        environment = {"BENCH_BROKER": url, **peer.environment()}
        filling = new_process(
            peer.fill(self._name, self._values),
            folder=folder,
            name="fill",
            environment=environment,
        )
        run_to_end(filling)
        commands = [[*each, *self._events()] for each in peer.work()]
        workers = [
            new_process(each, folder=folder, name=f"worker-{number}", environment=environment)
            for number, each in enumerate(commands)
        ]
        flower = self._flower("benchmarks.apps.stock", folder, environment)
        return self._measure(workers, flower, lambda: peer.count_ended(url, of=len(self._values)))

    def _ours(self, contender: str) -> dict[str, float]:
        ours = OurWorker(self._stand, contender)
        ours.fill(self._name, self._values)
        worker = ours.worker(*self._events())
        flower = self._flower("benchmarks.apps.ours", ours.folder, ours.environment)
        with ours.counting() as counting:
            return self._measure([worker], flower, counting.count_ended)

    def _measure(
        self, workers: Sequence[Process], flower: Sequence[Process], ended: Callable[[], int]
    ) -> dict[str, float]:
        with ExitStack() as stack:
            for each in (*flower, *workers):
                stack.enter_context(each)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while True:
                # Anew before each look, so that the last one that saw nothing begins the drain.
                watch = Watch((each.pid for each in workers), self._stand.server_pids())
                if ended():
                    break
                _see_to_it(workers, deadline)
            while ended() < len(self._values):
                _see_to_it(workers, deadline)
            seconds, cpu, servers = watch.read()
        count = len(self._values)
        return {
            "tasks_per_second": count / seconds,
            "cpu_per_thousand": cpu / count * 1000,
            "with_servers_cpu_per_thousand": (cpu + servers) / count * 1000,
        }

    def _events(self) -> tuple[str, ...]:
        return ("-E",) if self._is_watched else ()

    def _flower(self, app: str, folder: Path, environment: dict[str, str]) -> list[Process]:
        if not self._is_watched:
            return []
        command = [
            *(sys.executable, "-m", "celery", "-A", app, "flower"),
            *("--address=127.0.0.1", f"--port={free_port()}", "--logging=error"),
        ]
        return [new_process(command, folder=folder, name="flower", environment=environment)]


class OurWorker:
    """A new, empty ledger with a worker of ours."""

    def __init__(self, stand: Stand, contender: str) -> None:
        self.folder = stand.new_folder()
        self.database_url = (
            stand.postgres.create_database()
            if contender == _POSTGRESQL
            else f"sqlite:///{self.folder / 'ledger.db'}"
        )
        self.environment = {
            "CELERIAC_BROKER_URL": stand.broker.url,
            "CELERIAC_DATABASE_URL": self.database_url,
            "CELERIAC_DATA_DIR": str(self.folder),
            "CELERIAC_RATE_LIMIT": "100000000/minute",
        }

    def fill(self, name: str, values: Sequence[float]) -> None:
        """Queue one task per value, and ring as the janitor does."""
        ledger = open_ledger(self.database_url)
        for start in range(0, len(values), _BATCH):
            tasks = [
                NewTask(
                    id=TaskId(f"task-{start + number:09}"),
                    name=name,
                    arguments=Arguments(codec=Codec.JSON, text=f"[[{value}],{{}}]"),
                )
                for number, value in enumerate(values[start : start + _BATCH])
            ]
            ledger.tasks.insert(tasks)
        ledger.close()
        ringing = [sys.executable, "-c", _RING]
        run_to_end(
            new_process(ringing, folder=self.folder, name="ring", environment=self.environment)
        )

    def worker(self, *options: str, concurrency: int = 2, name: str = "worker") -> Process:
        """Return a worker that is not started yet."""
        command = [
            *(sys.executable, "-m", "celery", "-A", "benchmarks.apps.ours", "worker"),
            *("-c", str(concurrency), "-Q", "default", "-n", f"{name}@127.0.0.1"),
            *("--loglevel=error", "--without-mingle", *options),
        ]
        return new_process(command, folder=self.folder, name=name, environment=self.environment)

    def counting(self) -> Counting:
        """Return what counts the tasks of the default queue that have ended."""
        return Counting(self.database_url)


# Rung by a process that has Celery, which this one need not; and by the janitor's own look, which
# writes down which broker it was: the worker's janitor would take an unknown one for a wiped one,
# and write to every queued row in the middle of what is measured. So it is filled before anybody
# else looks.
_RING = """
import time
from benchmarks.apps.ours import app
from celeriac.engine.broker import BrokerView
from celeriac.engine.ringer import Ringer
engine, view = app.celeriac, BrokerView(app)
Ringer(engine, view, time.monotonic).ring(engine.ledger)
view.close()
engine.close()
"""


class Counting:
    """Counts what has ended of a ledger's default queue, and costs it little."""

    def __init__(self, database_url: str) -> None:
        self._connection: sqlite3.Connection | psycopg.Connection
        if database_url.startswith("sqlite"):
            file = database_url.removeprefix("sqlite:///")
            # Whoever counts while it loads a server does so in another thread.
            self._connection = sqlite3.connect(
                f"file:{file}?mode=ro", uri=True, timeout=20, check_same_thread=False
            )
        else:
            self._connection = psycopg.connect(database_url, autocommit=True)
        self._all = self._read("SELECT count(*) FROM tasks WHERE queue = 'default'")
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def count_ended(self) -> int:
        """Return how many tasks have ended: none and all exactly, in between roughly.

        To count twenty thousand rows twenty times a second would be a tenth of what a drain costs
        its database.
        """
        time.sleep(0.05)
        # Both have an index of their own, which holds only what has not ended.
        unfinished = (
            "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE state = '{}' AND queue = 'default'"
            " LIMIT {}) AS found"
        )
        most = _FEW if self._has_begun else self._all
        left = sum(self._read(unfinished.format(state, most)) for state in ("queued", "running"))
        self._has_begun = left < self._all
        return self._all - left

    def count_workers(self) -> int:
        """Return how many workers have claimed some."""
        return self._read("SELECT count(DISTINCT worker) FROM tasks WHERE queue = 'default'")

    def seconds_from_start_to_end(self) -> float:
        """Return how long it was from the first task's start to the last one's end."""
        return self._read("SELECT max(finished_at) - min(started_at) FROM tasks") / 1_000_000

    def _read(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0


def _see_to_it(workers: Sequence[Process], deadline: float) -> None:
    time.sleep(0.01)
    for worker in workers:
        if not worker.is_running:
            raise worker.failed("ended before its tasks")
        if time.monotonic() > deadline:
            raise worker.failed(f"did not end its tasks within {_PATIENCE_SECONDS} s")
