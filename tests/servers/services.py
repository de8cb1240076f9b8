"""The HTTP service as users start it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.servers.ports import free_port
from tests.servers.processes import PROJECT, Process, clean_environment


class ServiceProcess(Process):
    """`uvicorn main:app` on a free port."""

    def __init__(
        self,
        *,
        folder: Path,
        environment: Mapping[str, str],
        app: str = "main:app",
        name: str = "service",
        arguments: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "uvicorn", app, "--port", str(self.port), *arguments]
        super().__init__(
            command, log=folder / f"{name}.log", environment=clean_environment(environment)
        )

    def start_ready(self, *, seconds: float = 30) -> None:
        """Start the service and wait until it accepts tasks."""
        self.start()
        self.wait_until(self.is_ready, "it is ready", seconds=seconds)

    def is_ready(self) -> bool:
        """Return whether the service says that it can accept tasks."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


def add_user(
    name: str, password: str, *, folder: Path, environment: Mapping[str, str], role: str
) -> None:
    """Add a user as an operator does, by the command.

    Raises:
        ProcessFailedError: The command refused.
    """
    given = folder / f"{name}.password"
    given.write_text(f"{password}\n")
    # A shell gives the file to the command; a Process has no standard input.
    script = (
        f'exec "{sys.executable}" -m celeriac user add "$1" --role "$2" --password-stdin < "$3"'
    )
    adding = Process(
        ["/bin/sh", "-c", script, "sh", name, role, str(given)],
        log=folder / f"{name}.log",
        environment=clean_environment(environment),
        folder=PROJECT,
    )
    adding.start()
    if adding.wait(seconds=30) != 0:
        raise adding.failed("could not add the user")
