"""Everything in one process, as it runs on Windows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from celeriac.core.state import TaskState
from tests.acceptance.machine import UpProcess, add_user1, walk_through
from tests.contract.web.streams import watching
from tests.servers.processes import PROJECT, clean_environment, wait_until

SINGLE = (sys.executable, "-m", "celeriac", "up", "--single-process")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """One process with everything in it, for tests that leave it as it was."""
    with UpProcess(tmp_path_factory.mktemp("single"), command=SINGLE) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        add_user1(machine.settings)
        yield machine


def run(machine: UpProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside it."""
    return subprocess.run(
        [sys.executable, "-m", "celeriac", *words],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(machine.data)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_one_process_answers_the_three_calls_and_starts_no_other(machine: UpProcess) -> None:
    walk_through(machine.url)

    assert machine.descendants() == []


def test_it_tells_the_same_lines_as_several_processes(machine: UpProcess) -> None:
    said = machine.log_text()

    for name in ("broker", "ledger", "worker", "web", "flower", "tasks"):
        assert len([line for line in said.splitlines() if line.startswith(f"✓ {name}")]) == 1, said
    for word in ("Open", "Try", "Logs", "Stop"):
        assert f"  {word:<6} " in said
    assert "threads cannot be killed" in said


def test_the_command_line_and_the_doctor_work_beside_it(machine: UpProcess) -> None:
    submitted = run(machine, "submit", "text.wordcount", "text=a b", "--watch")
    checked = run(machine, "doctor")

    assert submitted.returncode == 0, submitted.stderr
    assert json.loads(submitted.stdout)["words"] == 2
    assert checked.returncode == 0, checked.stdout
    assert "memory" in checked.stdout


def test_flower_shows_its_worker_to_whoever_is_let_in(machine: UpProcess) -> None:
    flower = f"http://127.0.0.1:{machine.flower_port}/flower"
    sign_in = ("celeriac", machine.flower_password())

    def names() -> list[str]:
        data = httpx.get(f"{flower}/workers?json=1", auth=sign_in, timeout=10).json()["data"]
        return [each["hostname"] for each in data]

    wait_until(names, "Flower has seen the worker", seconds=30, pause=0.5)
    assert names()[0].startswith("celeriac@")
    assert httpx.get(f"{flower}/workers").status_code == 401
    # Behind our own sign-in.
    assert httpx.get(f"{machine.url}/flower/workers", follow_redirects=False).status_code in (
        *(302, 303, 401),
    )


def test_its_files_are_private(machine: UpProcess) -> None:
    files = [file for file in machine.data.rglob("*") if file.is_file()]

    assert not [file for file in files if file.stat().st_mode & 0o077]


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[UpProcess]:
    """One process that allows many questions; its sample task takes a while."""
    settings = {"CELERIAC_RATE_LIMIT": "100000/minute", "CELERIAC_PROCESS_SECONDS": "0.5"}
    with UpProcess(tmp_path, command=SINGLE, environment=settings) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        add_user1(machine.settings)
        yield machine


def test_killed_in_the_middle_of_a_hundred_tasks_it_loses_none(busy: UpProcess) -> None:
    form = {"username": "user1", "password": "password1"}
    token = httpx.post(f"{busy.url}/token", data=form, timeout=20).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=busy.url, timeout=20, headers=bearer) as client:

        def states() -> list[str]:
            listed = client.get("/tasks", params={"limit": 200}).raise_for_status().json()
            return [each["state"] for each in listed["tasks"]]

        # Half a second each, two at a time: they outlast what follows.
        submitted = {
            client.post("/tasks/process", json={"data": str(number)}).json()["task_id"]
            for number in range(100)
        }
        wait_until(lambda: "completed" in states(), "some have ended", pause=0.1)
        os.kill(busy.pid, signal.SIGKILL)
        busy.wait(seconds=10)
        before = {task.state for task in busy.kept_tasks()}
        # What is left need take no time any more.
        busy.environment["CELERIAC_PROCESS_SECONDS"] = "0"
        busy.start_ready(seconds=60)
        wait_until(lambda: set(states()) == {"completed"}, "all have ended", seconds=60, pause=0.1)

        assert TaskState.QUEUED in before
        assert len(submitted) == len(states()) == 100


def test_a_data_folder_that_is_deleted_ends_it_with_tasks_in_it(busy: UpProcess) -> None:
    key = json.loads((busy.data / "profile.json").read_text())["key"]
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=busy.url, timeout=20, headers=headers) as client:
        for _ in range(8):
            client.post("/tasks/process", json={"data": "x"}).raise_for_status()

    shutil.rmtree(busy.data, ignore_errors=True)

    assert busy.wait(seconds=40) == 1, busy.log_text()
    assert f"the data folder {busy.data} was deleted" in busy.log_text()
    assert "start again" in busy.log_text()
    for word in ("Traceback", "CRITICAL", "mistake of ours"):
        assert word not in busy.log_text()


def test_ctrl_c_lets_a_running_task_finish_and_who_watches_holds_up_no_end(tmp_path: Path) -> None:
    settings = {"CELERIAC_PROCESS_SECONDS": "2"}
    with UpProcess(tmp_path, command=SINGLE, environment=settings) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        key = json.loads((machine.data / "profile.json").read_text())["key"]
        bearer = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=machine.url, timeout=30, headers=bearer) as client:

            def submit() -> str:
                return str(client.post("/tasks/process", json={"data": "x"}).json()["task_id"])

            with watching(client, f"/tasks/{submit()}/events") as stream:
                told = stream.rest()
            running = submit()
            wait_until(
                lambda: client.get(f"/tasks/{running}").json()["state"] == "running", "it runs"
            )
            with watching(client, "/events?topics=tasks") as stream:
                machine.interrupt()
                stream.rest()
        assert machine.wait(seconds=30) == 0, machine.log_text()

    assert told[-1].data["status"] == "completed"
    assert "Cancel 1 running task" not in machine.log_text()
    assert "Traceback" not in machine.log_text()
    assert not (machine.data / "up" / "broker.url").exists()
    assert {(task.state, task.attempt) for task in machine.kept_tasks()} == {
        (TaskState.COMPLETED, 1)
    }


def test_requests_are_counted_in_the_process(tmp_path: Path) -> None:
    settings = {"CELERIAC_LOGIN_LIMIT": "2/minute"}
    with UpProcess(tmp_path, command=SINGLE, environment=settings) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        form = {"username": "user1", "password": "wrong"}

        answers = [httpx.post(f"{machine.url}/token", data=form) for _ in range(3)]

    assert [each.status_code for each in answers] == [401, 401, 429]


def test_a_broker_outside_is_refused(tmp_path: Path) -> None:
    environment = {"CELERIAC_DATA_DIR": str(tmp_path), "CELERIAC_BROKER_URL": "redis://there"}

    refused = subprocess.run(
        SINGLE,
        cwd=PROJECT,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 2
    assert "--single-process, which has its broker inside" in refused.stderr


def test_without_samples_and_without_a_task_of_ones_own_it_says_how_to_begin(
    tmp_path: Path,
) -> None:
    with UpProcess(tmp_path, command=SINGLE, environment={"CELERIAC_SAMPLES": "off"}) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        listed = run(machine, "task-types", "--json")

    assert "✓ tasks      none yet: python run.py init writes a file with one" in machine.log_text()
    assert "Try    python run.py init" in machine.log_text()
    assert json.loads(listed.stdout) == []
