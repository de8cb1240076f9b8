"""Flower as `up` starts it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.servers.ports import free_port
from tests.servers.processes import Process, clean_environment

PASSWORD = "the-password-of-flower"


class FlowerProcess(Process):
    """`celery -A APP flower` below /flower, on a free port, behind a password."""

    def __init__(self, app: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://celeriac:{PASSWORD}@127.0.0.1:{self.port}/flower"
        super().__init__(
            [
                *(sys.executable, "-m", "celery", "-A", app, "flower"),
                *("--address=127.0.0.1", f"--port={self.port}", "--url-prefix=flower"),
            ],
            log=folder / "flower.log",
            environment=clean_environment(
                {**environment, "FLOWER_BASIC_AUTH": f"celeriac:{PASSWORD}"}
            ),
        )

    def start_ready(self, *, seconds: float = 30) -> None:
        """Start it and wait until it answers."""
        self.start()
        self.wait_until(self._answers, "it answers", seconds=seconds)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthcheck", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False
