from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.acceptance.machine import add_user1, walk_through
from tests.servers.ports import free_port
from tests.servers.processes import PROJECT, Process, clean_environment, wait_until
from tests.servers.valkey import ValkeyServer

# Word for word what the README says, in the order of the README.
COMMANDS = {
    "default": "celery -A celery_app worker -Q default --loglevel=info --pool=solo",
    "high_priority": "celery -A celery_app worker -Q high_priority --loglevel=info --pool=solo",
    "service": "uvicorn main:app --reload",
    "flower": "celery -A celery_app flower",
}
# The modules that Windows does not have.
POSIX_ONLY = ("fcntl", "resource", "pwd")
# Read by every Python at its start, before anything of ours: whoever imports one of these fails.
# The standard library may, and so may billiard, which decides by the system's name.
BLOCK = f"""
import builtins, sys

_import = builtins.__import__

def _import_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    importer = str((globals or {{}}).get("__name__")).partition(".")[0]
    may = importer in sys.stdlib_module_names or importer == "billiard"
    if name in {POSIX_ONLY!r} and not level and not may:
        raise ModuleNotFoundError(f"{{importer}} may not import {{name}}", name=name)
    return _import(name, globals, locals, fromlist, level)

builtins.__import__ = _import_as_on_windows
"""


class OldWay:
    """The four processes of the walk-through on a broker of the test's."""

    def __init__(self, folder: Path, *, broker_url: str, changes: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.flower_url = f"http://127.0.0.1:{free_port()}"
        # The commands are the README's, so whatever is the test's stands in the environment.
        self.settings = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "CELERIAC_BROKER_URL": broker_url,
            "CELERIAC_DATA_DIR": str(folder / "data"),
            "CELERIAC_PROCESS_SECONDS": "0.2",
            "UVICORN_PORT": str(self.port),
            "FLOWER_PORT": self.flower_url.rpartition(":")[2],
            **changes,
        }
        self.processes = {
            name: Process(
                shlex.split(command),
                log=folder / f"{name}.log",
                environment=clean_environment(self.settings),
            )
            for name, command in COMMANDS.items()
        }

    def start_ready(self) -> None:
        """Start the four at once and wait until each does its work."""
        for process in self.processes.values():
            process.start()
        for name in ("default", "high_priority"):
            self.processes[name].wait_for_log(" ready.", seconds=60)
        self.processes["service"].wait_until(
            lambda: _answers(f"{self.url}/readyz"), "it is ready", seconds=60
        )
        self.processes["flower"].wait_until(
            lambda: _answers(f"{self.flower_url}/healthcheck"), "it is ready", seconds=60
        )

    def stop(self) -> None:
        """End the four."""
        for process in self.processes.values():
            process.stop()


@pytest.fixture(scope="module", params=["as on POSIX", "without POSIX's modules"])
def old_way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OldWay]:
    """The four processes, with the user of the walk-through."""
    folder = tmp_path_factory.mktemp("old-way")
    changes = {}
    if request.param != "as on POSIX":
        (folder / "sitecustomize.py").write_text(BLOCK)
        changes["PYTHONPATH"] = str(folder)
    with ValkeyServer(folder / "valkey") as valkey:
        old_way = OldWay(folder, broker_url=valkey.url, changes=changes)
        try:
            add_user1(old_way.settings)
            old_way.start_ready()
            yield old_way
        finally:
            old_way.stop()


def test_the_four_commands_answer_the_three_calls(old_way: OldWay) -> None:
    walk_through(old_way.url)


def test_flower_shows_the_workers_and_the_task(old_way: OldWay) -> None:
    walk_through(old_way.url)

    def page() -> str:
        return httpx.get(f"{old_way.flower_url}/workers?json=1").text

    wait_until(lambda: f"celery@{socket.gethostname()}" in page(), "Flower shows the worker")


def test_the_processes_share_one_data_folder_that_is_private(old_way: OldWay) -> None:
    data = Path(old_way.settings["CELERIAC_DATA_DIR"])

    assert data.stat().st_mode & 0o077 == 0
    assert (data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_the_service_logs_no_link_by_which_somebody_chooses_a_password(old_way: OldWay) -> None:
    log = old_way.processes["service"]

    httpx.get(f"{old_way.url}/start/user.QWRh.a-link-that-nobody-made?next=x")

    log.wait_for_log('"GET /start/***?next=x HTTP/1.1" 404')
    assert "a-link" not in log.log_text()


def test_ctrl_c_ends_each_of_the_four(old_way: OldWay) -> None:
    for name, process in old_way.processes.items():
        os.killpg(process.pid, signal.SIGINT)

        process.wait(seconds=20)

        assert "Traceback" not in process.log_text(), f"{name}: {process.log_text()}"


@pytest.mark.parametrize("module", ["celery_app", "main", "celeriac.cli", "celeriac.up.start"])
def test_the_entries_can_be_imported_without_posix_s_modules(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{BLOCK}import {module}"],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_command_celery_finds_the_tasks_beside_the_app(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "celery_app.py", tmp_path)
    (tmp_path / "tasks.py").write_text("from celeriac import task\n\n@task\ndef own(): ...\n")
    # As that command does it: the folder is looked into for the app's module alone. What the tasks
    # import when they run is found too.
    (tmp_path / "helpers.py").touch()
    script = """
from celery.utils.imports import import_from_cwd
celery_app = import_from_cwd("celery_app")
import helpers
celery_app.app.loader.import_default_modules()
print(celery_app.app.loader.problems, "tasks.own" in celery_app.app.tasks)
"""

    said = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env=clean_environment(
            {"CELERIAC_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(PROJECT)}
        ),
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "() True\n", said.stderr
