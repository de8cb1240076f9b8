"""The servers that all contenders play on, and what processes cost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.postgres import PostgresServer
from tests.servers.processes import Process, clean_environment, descendants_of
from tests.servers.valkey import ValkeyServer


class Stand:
    """One broker and one PostgreSQL, started when they are first needed, and ended together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @cached_property
    def broker(self) -> ValkeyServer:
        """The broker of all contenders; it keeps nothing, which is the fastest it can be."""
        return self._stack.enter_context(ValkeyServer(self.folder / "valkey"))

    @cached_property
    def postgres(self) -> PostgresServer:
        """A PostgreSQL that keeps its promises: fsync is on."""
        return self._stack.enter_context(PostgresServer())

    def new_folder(self) -> Path:
        """Return an empty folder that nobody has used."""
        self._started += 1
        folder = self.folder / str(self._started)
        folder.mkdir()
        return folder

    def server_pids(self) -> list[int]:
        """Return the servers that run, without starting any."""
        servers = [self.__dict__.get(name) for name in ("broker", "postgres")]
        return [server.pid for server in servers if server is not None]


def new_process(
    command: Iterable[str], *, folder: Path, name: str, environment: Mapping[str, str]
) -> Process:
    """Return a process with the project on its path and a log in the folder."""
    changes = {"PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    return Process([*command], log=folder / f"{name}.log", environment=clean_environment(changes))


def run_to_end(process: Process, *, seconds: float = 600) -> None:
    """Run a process and wait for its end.

    Raises:
        ProcessFailedError: It did not end well.
    """
    with process:
        if process.wait(seconds=seconds) != 0:
            raise process.failed("did not end well")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and all that come from them, by Linux's own books."""
    ticks = 0
    for pid in pids:
        for each in (pid, *descendants_of(pid)):
            try:
                fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Watch:
    """Measures the time and the CPU seconds of workers and servers from its making on."""

    def __init__(self, workers: Iterable[int], servers: Iterable[int]) -> None:
        self._workers = tuple(workers)
        self._servers = tuple(servers)
        self._began = time.monotonic(), cpu_seconds(self._workers), cpu_seconds(self._servers)

    def read(self) -> tuple[float, float, float]:
        """Return seconds, CPU seconds of the workers, CPU seconds of the servers."""
        now = time.monotonic(), cpu_seconds(self._workers), cpu_seconds(self._servers)
        seconds, workers, servers = (new - old for new, old in zip(now, self._began, strict=True))
        return seconds, workers, servers
