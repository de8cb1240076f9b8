"""Celery workers as users start them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.processes import Process, clean_environment


class WorkerProcess(Process):
    """`celery -A APP worker --pool=POOL …` in a process group of its own."""

    def __init__(
        self,
        app: str,
        *,
        folder: Path,
        environment: Mapping[str, str],
        pool: str = "processes",
        concurrency: int = 2,
        queues: Sequence[str] = ("default",),
        name: str = "worker",
        arguments: Sequence[str] = (),
    ) -> None:
        self.name = f"{name}@127.0.0.1"
        command = [
            *(sys.executable, "-m", "celery", "-A", app, "worker"),
            *(f"--pool={pool}", "-c", str(concurrency), "-Q", ",".join(queues)),
            *("-n", self.name, "--loglevel=info", *arguments),
        ]
        super().__init__(
            command, log=folder / f"{name}.log", environment=clean_environment(environment)
        )

    def start_ready(self, *, seconds: float = 30) -> None:
        """Start the worker and wait until it takes tasks."""
        self.start()
        self.wait_ready(seconds=seconds)

    def wait_ready(self, *, seconds: float = 30) -> None:
        """Wait until the worker says that it takes tasks."""
        self.wait_for_log(f"{self.name} ready.", seconds=seconds)

    def restart(self) -> None:
        """Kill the worker if it still runs, and start it again."""
        if self.is_running:
            self.kill()
        self.start_ready()

    def kill_child(self, pid: int) -> None:
        """End one of the worker's own child processes at once."""
        assert pid in self.descendants(), f"{pid} is no child of this worker"
        os.kill(pid, signal.SIGKILL)
