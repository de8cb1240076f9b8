from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from celeriac.core.state import TaskState
from celeriac.up.ports import inodes_in
from tests.acceptance.machine import UpProcess, add_user1, wait_until_ended, walk_through
from tests.servers.processes import PROJECT, Process, clean_environment, is_alive, wait_until
from tests.servers.valkey import ValkeyServer

# A terminal window: what runs in it has it as its controlling terminal, and it shows what is said.
TERMINAL = """
import os, pty, sys
pid, screen = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    os.write(1, os.read(screen, 65536))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """Everything on one machine, for tests that leave it as it was."""
    with UpProcess(tmp_path_factory.mktemp("machine")) as machine:
        machine.wait_for_log("Ctrl-C", seconds=40)
        add_user1(machine.settings)
        yield machine


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[UpProcess]:
    """Everything on one machine, for one test."""
    fresh = UpProcess(tmp_path)
    fresh.start_ready()
    yield fresh
    fresh.stop()


def run_up(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `celeriac up` that is expected to refuse."""
    return subprocess.run(
        [sys.executable, "-m", "celeriac", "up", *arguments],
        cwd=PROJECT,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def see_word(machine: UpProcess, *words: str) -> str:
    """Return what a terminal shows when a word of the command line is typed beside a machine."""
    # It ends when the command has: nobody writes to its screen any more.
    return subprocess.run(
        [sys.executable, "-c", TERMINAL, sys.executable, "-m", "celeriac", *words],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(machine.data)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
    ).stdout


def run_word(machine: UpProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a word of the command line beside a machine."""
    return subprocess.run(
        [sys.executable, "-m", "celeriac", *words],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(machine.data)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_one_command_answers_the_three_calls(machine: UpProcess) -> None:
    assert httpx.get(f"{machine.url}/readyz").status_code == 200

    walk_through(machine.url)


def test_the_ready_lines_tell_every_program_with_its_time(machine: UpProcess) -> None:
    said = machine.log_text()

    for name in ("broker", "ledger", "worker", "web", "flower"):
        lines = [line for line in said.splitlines() if line.startswith(f"✓ {name}")]
        assert len(lines) == 1, said
        assert lines[0].endswith(" s")
    assert machine.url in said
    assert "\033[" not in said


def test_without_an_admin_a_link_to_choose_a_password_is_told(machine: UpProcess) -> None:
    link = re.search(rf"Open +({re.escape(machine.url)}/start/\S+) ", machine.log_text())

    assert link is not None
    assert httpx.get(link[1]).status_code == 200


def test_the_command_line_of_this_machine_may_ask_at_once(machine: UpProcess) -> None:
    submitted = run_word(machine, "submit", "process", "data=x", "--watch")
    checked = run_word(machine, "doctor")

    assert (submitted.returncode, submitted.stdout) == (0, '"Processed: x"\n'), submitted.stderr
    assert checked.returncode == 0, checked.stdout
    assert "broker    Valkey" in checked.stdout


def test_an_id_is_said_once_in_a_terminal_and_is_all_that_a_pipe_gets(machine: UpProcess) -> None:
    seen = see_word(machine, "submit", "text.wordcount", "text=a")
    piped = run_word(machine, "submit", "text.wordcount", "text=a")

    assert len(re.findall("[0-9a-f-]{36}", seen)) == 1, seen
    assert re.fullmatch(r"[0-9a-f-]{36}\n", piped.stdout), piped.stdout


def test_no_secret_is_told(machine: UpProcess) -> None:
    broker_url = (machine.data / "up" / "broker.url").read_text()
    broker_password = broker_url.split(":")[2].partition("@")[0]
    logs = [log.read_text() for log in (machine.data / "up").glob("*.log")]

    for text in (machine.log_text(), *logs):
        assert machine.flower_password() not in text
        assert broker_password not in text


def test_no_secret_stands_in_a_command_line_or_an_open_file(machine: UpProcess) -> None:
    words = [Path(f"/proc/{pid}/cmdline").read_text() for pid in machine.everyone()]
    files = [file for file in machine.data.rglob("*") if file.is_file()]

    assert not any(machine.flower_password() in each for each in words)
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in files), files
    assert stat.S_IMODE(machine.data.stat().st_mode) == 0o700


def test_flower_is_shown_behind_the_sign_in_and_to_nobody_else(machine: UpProcess) -> None:
    direct = f"http://127.0.0.1:{machine.flower_port}/flower"
    key = json.loads((machine.data / "profile.json").read_text())["key"]
    operator = {"Authorization": f"Bearer {key}"}
    task_id = walk_through(machine.url)

    def tasks() -> dict[str, object]:
        answer = httpx.get(f"{machine.url}/flower/api/tasks", headers=operator)
        found: dict[str, object] = answer.json()
        return found

    wait_until(lambda: task_id in tasks(), "Flower shows the task")
    workers = httpx.get(f"{machine.url}/flower/workers?json=1", headers=operator).json()["data"]
    assert [worker["hostname"] for worker in workers] == [f"celeriac@{socket.gethostname()}"]
    assert httpx.get(f"{machine.url}/flower/workers?json=1").status_code == 401
    assert httpx.get(f"{direct}/workers").status_code == 401
    assert httpx.get(f"{direct}/workers", auth=("celeriac", "celeriac")).status_code == 401
    assert f"Flower {machine.url}/flower" in machine.log_text()


def test_a_second_start_on_the_same_data_folder_is_refused_and_names_the_first(
    machine: UpProcess,
) -> None:
    second = run_up(machine.settings)

    assert second.returncode == 2
    assert f"process id {machine.pid}" in second.stderr
    assert str(machine.data) in second.stderr
    assert len(second.stderr.splitlines()) == 3
    assert machine.is_running


@pytest.mark.parametrize(
    ("program", "command"),
    [("worker", "worker"), ("flower", "flower"), ("broker", "valkey-server")],
)
def test_a_program_that_is_killed_is_started_again(
    machine: UpProcess, program: str, command: str
) -> None:
    killed = next(pid for pid in machine.descendants() if command in _command_of(pid))
    # The machine is that of the tests before: it may have told so already.
    told_before = _told_of(machine, program)

    os.kill(killed, signal.SIGKILL)

    _wait_for_next_start(machine, program, told_before)
    walk_through(machine.url)


def test_whoever_asks_while_a_killed_service_is_started_again_waits_and_is_answered(
    machine: UpProcess,
) -> None:
    service = next(pid for pid in machine.descendants() if "entries.service" in _command_of(pid))
    told_before = _told_of(machine, "web")

    os.kill(service, signal.SIGKILL)
    answer = httpx.get(f"{machine.url}/healthz", timeout=60)

    assert answer.status_code == 200
    assert not is_alive(service)
    _wait_for_next_start(machine, "web", told_before)
    walk_through(machine.url)


def test_nobody_but_up_and_its_service_has_the_port_open(machine: UpProcess) -> None:
    table = Path("/proc/net/tcp").read_text()
    listening = {f"socket:[{each}]" for each in inodes_in(table, machine.port)}

    holders = [pid for pid in machine.everyone() if listening & _open_in(pid)]

    assert len(listening) == 1
    assert len(machine.everyone()) > len(holders)
    assert [_command_of(pid).split()[2] for pid in sorted(holders)] == [
        "celeriac",
        "celeriac.entries.service",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_ends_everything_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    machine = UpProcess(tmp_path)
    machine.start_ready()
    everyone = machine.everyone()

    machine.signal(number)

    assert machine.wait(seconds=20) == 0, machine.log_text()
    wait_until_ended(everyone)
    assert "Traceback" not in machine.log_text()
    assert not (machine.data / "up" / "broker.url").exists()


def test_a_terminal_that_is_closed_ends_everything_and_leaves_nothing(tmp_path: Path) -> None:
    command = (sys.executable, "-c", TERMINAL, sys.executable, "-m", "celeriac", "up")
    machine = UpProcess(tmp_path, command=command)
    machine.start_ready()
    everyone = machine.everyone()
    assert len(everyone) > 6

    # The kernel hangs up on whoever runs in it.
    machine.kill()

    wait_until_ended(everyone)
    # Ended in order, and not with its supervisor.
    wait_until(lambda: not (machine.data / "up" / "broker.url").exists(), "it was put away")


def test_ctrl_c_lets_a_running_task_finish_ends_everything_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    machine = UpProcess(tmp_path, environment={"CELERIAC_PROCESS_SECONDS": "2"})
    machine.start_ready()
    everyone = machine.everyone()
    key = json.loads((machine.data / "profile.json").read_text())["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    task = httpx.post(f"{machine.url}/tasks/process", json={"data": "x"}, headers=bearer).json()
    where = f"{machine.url}/tasks/{task['task_id']}"
    wait_until(lambda: httpx.get(where, headers=bearer).json().get("state") == "running", "it runs")

    machine.interrupt()

    assert machine.wait(seconds=20) == 0, machine.log_text()
    wait_until_ended(everyone)
    assert "Traceback" not in machine.log_text()
    assert not (machine.data / "up" / "broker.url").exists()
    (kept,) = machine.kept_tasks()
    assert (kept.state, kept.attempt) == (TaskState.COMPLETED, 1)


def test_a_worker_beside_finds_the_broker_of_the_next_start(
    fresh: UpProcess, tmp_path: Path
) -> None:
    beside = Process(
        (sys.executable, "-m", "celeriac", "worker", "--queues", "reports", "-n", "beside@here"),
        log=tmp_path / "beside.log",
        environment=clean_environment({"CELERIAC_DATA_DIR": str(fresh.data)}),
    )
    with beside:
        beside.wait_for_log("beside@here ready", seconds=40)
        fresh.interrupt()
        fresh.wait(seconds=20)
        beside.wait_for_log("waits until `python run.py up` runs")

        fresh.start_ready()
        run = run_word(
            fresh, "submit", "text.wordcount", "text=a b", "--queue", "reports", "--watch"
        )

        assert run.returncode == 0, run.stderr + beside.log_text()
        assert "Traceback" not in beside.log_text()
        assert beside.log_text().count("this worker waits") == 1


def test_kill_9_leaves_no_process_of_ours_and_the_next_start_works_on_what_is_there(
    fresh: UpProcess,
) -> None:
    add_user1(fresh.settings)
    everyone = fresh.everyone()
    assert len(everyone) > 5

    fresh.kill()

    wait_until_ended(everyone)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{fresh.url}/healthz")

    fresh.start_ready()

    walk_through(fresh.url)
    assert "(new)" not in fresh.log_text()
    assert "/start/" in fresh.log_text()


@pytest.mark.parametrize("is_ledger_alone", [False, True])
def test_a_data_folder_that_is_deleted_ends_everything_and_says_so(
    fresh: UpProcess, *, is_ledger_alone: bool
) -> None:
    everyone = fresh.everyone()

    if is_ledger_alone:
        (fresh.data / "ledger.db").unlink()
    else:
        shutil.rmtree(fresh.data, ignore_errors=True)

    assert fresh.wait(seconds=30) == 1, fresh.log_text()
    wait_until_ended(everyone)
    lost = f"ledger {fresh.data / 'ledger.db'}" if is_ledger_alone else f"data folder {fresh.data}"
    assert f"why   the {lost} was deleted, moved or replaced" in fresh.log_text()
    assert "fix   start again" in fresh.log_text()
    assert "mistake of ours" not in fresh.log_text()


def test_a_taken_port_is_told_with_its_holder_and_the_next_free_one_is_taken(
    tmp_path: Path,
) -> None:
    with (
        http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as squatter,
        UpProcess(tmp_path, port=squatter.server_port) as machine,
    ):
        machine.wait_for_log("Ctrl-C", seconds=40)

        line = next(each for each in machine.log_text().splitlines() if "is held by" in each)

        taken_instead = int(line.rpartition(" ")[2])
        assert f"port {squatter.server_port} is held by" in line
        assert f"(process id {os.getpid()})" in line
        assert f"with the port {squatter.server_port} do not lead here" in machine.log_text()
        assert httpx.get(f"http://127.0.0.1:{taken_instead}/readyz").status_code == 200


def test_a_broker_that_is_named_is_used_and_none_is_started(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "valkey", password="canary") as valkey:
        with UpProcess(tmp_path, environment={"CELERIAC_BROKER_URL": valkey.url}) as machine:
            machine.wait_for_log("Ctrl-C", seconds=40)
            add_user1(machine.settings)

            walk_through(machine.url)

            assert "(not ours)" in machine.log_text()
            assert "canary" not in machine.log_text()
            assert not any("valkey-server" in _command_of(pid) for pid in machine.descendants())
        assert is_alive(valkey.pid)


@pytest.mark.parametrize(
    ("environment", "arguments", "line"),
    [
        (
            {"CELERIAC_PORT": "70000"},
            (),
            "error: CELERIAC_PORT is '70000'; allowed: a port from 0 to 65535",
        ),
        ({}, ("--port", "x"), "error: --port is 'x'; allowed: a port from 0 to 65535"),
        (
            {"CELERIAC_BROKER_URL": "http://me:canary@host"},
            (),
            "error: CELERIAC_BROKER_URL is '***'; allowed: a URL that begins with",
        ),
        # As long as a key has to be, and known to everybody.
        ({"APP_SECRET_KEY": "changeme" * 8}, (), "error: APP_SECRET_KEY is '***'; allowed: "),
        ({"CELERIAC_HOST": "192.0.2.1"}, (), "error: CELERIAC_HOST is '192.0.2.1'; allowed: "),
        ({"CELERIAC_HOST": "0.0.0.0"}, (), "error: CELERIAC_HOST is '0.0.0.0'; allowed: "),
    ],
)
def test_a_broken_setting_is_one_line_and_nothing_is_left_running(
    tmp_path: Path, environment: dict[str, str], arguments: tuple[str, ...], line: str
) -> None:
    data = {"CELERIAC_DATA_DIR": str(tmp_path / "data")}

    refused = run_up({**data, **environment}, *arguments)

    assert refused.returncode == 2
    assert refused.stderr.startswith(line)
    assert len(refused.stderr.splitlines()) == 1
    assert "canary" not in refused.stderr
    assert not (tmp_path / "data" / "up" / "broker.conf").exists()


def test_a_task_module_that_cannot_be_imported_is_told_with_file_and_line_and_the_others_run(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "broken_tasks.py").write_text("x = 1\nimport no_such_module\n")
    (project / "main.py").write_text((PROJECT / "main.py").read_text())
    (project / "celery_app.py").write_text(
        "from celeriac import create_celery\n"
        "app = create_celery(include=['broken_tasks', 'celeriac.samples.text'])\n"
    )
    paths = {"PYTHONPATH": str(PROJECT)}

    with UpProcess(tmp_path, project=project, environment=paths) as machine:
        machine.wait_for_log("Ctrl-C", seconds=40)
        add_user1(machine.settings)

        walk_through(machine.url)

        machine.wait_for_log("the other tasks work; mend it")
        lines = [each for each in machine.log_text().splitlines() if "no_such_module" in each]
        # Worker and service both say so in their logs; it is read once, where the start ends.
        assert len(lines) == 1, machine.log_text()
        assert lines[0].startswith("✗ tasks")
        assert f"({project / 'broken_tasks.py'}, line 2)" in lines[0]
        assert lines[0] in machine.log_text().partition("Stop   Ctrl-C")[2]
        checked = run_word(machine, "doctor")
        assert checked.returncode == 8
        assert "✗ tasks     the task module broken_tasks cannot be imported" in checked.stdout


def test_an_app_that_cannot_be_imported_is_told_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "celery_app.py").write_text("this is no python\n")
    (tmp_path / "main.py").write_text("import celery_app\n")
    machine = UpProcess(tmp_path, project=tmp_path, environment={"PYTHONPATH": str(PROJECT)})

    machine.start()

    assert machine.wait(seconds=60) == 1
    assert "SyntaxError" in machine.log_text()
    assert machine.log_text().splitlines()[-3].startswith("error: not done")
    assert not (machine.data / "up" / "broker.url").exists()


def _told_of(machine: UpProcess, program: str) -> tuple[int, int]:
    """Return how often it was told that a program was killed, and that it was ready."""
    said = machine.log_text()
    killed = said.count(f"\n✗ {program:<10} ended with signal 9 ")
    return killed, said.count(f"\n✓ {program:<10} ")


def _wait_for_next_start(machine: UpProcess, program: str, before: tuple[int, int]) -> None:
    expected = tuple(count + 1 for count in before)
    machine.wait_until(
        lambda: _told_of(machine, program) == expected,
        f"{program} was killed and is ready again: {before} and once more",
        seconds=40,
    )


def _open_in(pid: int) -> set[str]:
    return {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}


def _command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
