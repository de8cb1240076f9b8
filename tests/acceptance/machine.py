"""`celeriac up` as a process, and the three calls that everything is about."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from celeriac.core.page import TaskFilter
from celeriac.core.task import Task
from celeriac.ledger.open import open_ledger
from tests.servers.ports import free_port
from tests.servers.processes import PROJECT, Process, clean_environment, is_alive, wait_until


class UpProcess(Process):
    """`python -m celeriac up` on free ports and a data folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "celeriac", "up"),
        project: Path = PROJECT,
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        data: Path | None = None,
        name: str = "up",
    ) -> None:
        self.data = data or folder / "data"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.flower_port = free_port()
        self.settings = {
            "CELERIAC_DATA_DIR": str(self.data),
            "CELERIAC_PORT": str(self.port),
            "CELERIAC_FLOWER_PORT": str(self.flower_port),
            "CELERIAC_PROCESS_SECONDS": "0.2",
            **(environment or {}),
        }
        super().__init__(
            command,
            log=folder / f"{name}.log",
            environment=clean_environment(self.settings),
            folder=project,
        )

    def start_ready(self, *, seconds: float = 40) -> None:
        """Start everything and wait until it says that all of it is ready."""
        self.start()
        self.wait_for_log("Ctrl-C", seconds=seconds)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.signal(signal.SIGINT)

    def everyone(self) -> list[int]:
        """Return the ids of the process and of all that it started."""
        return [self.pid, *self.descendants()]

    def kept_tasks(self) -> Sequence[Task]:
        """Return its tasks as the ledger has them, a page at most, whether it runs or not."""
        ledger = open_ledger(f"sqlite:///{self.data / 'ledger.db'}")
        try:
            return ledger.tasks.list(TaskFilter(), after=None, limit=200).items
        finally:
            ledger.close()

    def flower_password(self) -> str:
        """Return the password that was made for Flower."""
        return (self.data / "up" / "flower.password").read_text().strip()


def wait_until_ended(pids: Sequence[int], *, seconds: float = 15) -> None:
    """Wait until none of the processes lives.

    Raises:
        AssertionError: One still does; names it.
    """

    def alive() -> list[str]:
        return [f"{pid} {_words_of(pid)}" for pid in pids if is_alive(pid)]

    try:
        wait_until(lambda: not alive(), "all have ended", seconds=seconds)
    except AssertionError:
        raise AssertionError(f"still alive: {alive()}") from None


def add_user1(environment: Mapping[str, str], *, project: Path = PROJECT) -> None:
    """Add the user of the walk-through, by its command."""
    add_user("user1", "password1", environment, "--allow-weak", project=project)


def add_user(
    name: str,
    password: str,
    environment: Mapping[str, str],
    *options: str,
    project: Path = PROJECT,
) -> None:
    """Add a user as an admin does, by the command."""
    words = ["-m", "celeriac", "user", "add", name, "--password-stdin", *options]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=clean_environment(environment),
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def walk_through(url: str) -> str:
    """Make the three calls of the contract; return the task's id."""
    with httpx.Client(base_url=url, timeout=10) as client:
        form = {"username": "user1", "password": "password1"}
        token = client.post("/token", data=form)
        assert token.status_code == 200, token.text
        assert token.json()["token_type"] == "bearer"
        bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}

        submitted = client.post("/tasks/process", json={"data": "example data"}, headers=bearer)
        assert submitted.status_code == 202, submitted.text
        assert submitted.json()["status"] == "pending"
        task_id: str = submitted.json()["task_id"]

        def status() -> str:
            answer = client.get(f"/tasks/{task_id}", headers=bearer)
            assert answer.status_code == 200, answer.text
            found: str = answer.json()["status"]
            return found

        wait_until(lambda: status() != "pending", "the task has ended", pause=0.1)
        ended = client.get(f"/tasks/{task_id}", headers=bearer).json()
        assert (ended["status"], ended["result"]) == ("completed", "Processed: example data")
        return task_id


def _words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "(gone)"
