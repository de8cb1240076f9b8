"""The README's commands, letter by letter, in a fresh clone and with an empty home.

What is changed of them is listed in `Reader`: the port, the password, the id of a task.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.cli.init import TASKS
from tests.acceptance.clones import make_clone, package_cache
from tests.acceptance.machine import UpProcess
from tests.papers import block_with, blocks, dialogues, read
from tests.servers.ports import free_port
from tests.servers.processes import clean_environment, wait_until

README = read("README.md")
COMMAND_LINE = block_with(README, "sh", "run.py submit")
# A word of a command line that stands in for what this run has made.
TASK_ID = "TASK-ID"


class Reader:
    """Somebody in a shell, in the clone, who types what the README shows."""

    def __init__(self, clone: Path, folder: Path) -> None:
        self.clone = clone
        self.said_at_the_start = ""
        # Where somebody edits, changes are taken up.
        (clone / ".git").mkdir()
        home, words = folder / "home", folder / "words"
        home.mkdir()
        words.mkdir()
        # On this machine it has another name, perhaps.
        (words / "python").symlink_to(sys.executable)
        path = f"{words}{os.pathsep}{os.environ['PATH']}"
        self.environment = clean_environment({"HOME": str(home), "PATH": path, **package_cache()})
        self.machine = UpProcess(
            folder,
            command=[str(words / "python"), "run.py"],
            project=clone,
            data=clone / ".celeriac",
            environment={**self.environment},
        )

    def type(self, text: str, *, task_id: str = "") -> subprocess.CompletedProcess[str]:
        """Type some lines into a shell."""
        for shown, here in (
            ("127.0.0.1:8000", f"127.0.0.1:{self.machine.port}"),
            ("YOUR-PASSWORD", "password1"),
            (TASK_ID, task_id),
        ):
            text = text.replace(shown, here)
        return subprocess.run(
            ["/bin/sh", "-c", text],
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has come to "Your own function", and has added user1 as well."""
    folder = tmp_path_factory.mktemp("reader")
    reader = Reader(make_clone(folder / "clone"), folder)
    with reader.machine:
        yield prepared(reader)


def prepared(reader: Reader) -> Reader:
    reader.machine.wait_for_log("Ctrl-C", seconds=300)
    # What was said until then is compared below.
    reader.said_at_the_start = reader.machine.log_text()
    # A person is slower than the first look at the tasks.
    looked = reader.machine.data / "up" / "code.json"
    wait_until(looked.exists, "the tasks were looked at", seconds=60)
    made = reader.type("python run.py init")
    assert made.returncode == 0, made.stderr
    (line,) = block_with(README, "text", "reload").splitlines()
    # As it says there: first that it starts again, and then that it can be used.
    again = re.compile(re.escape(line) + ".*^✓ web ", re.DOTALL | re.MULTILINE)
    reader.machine.wait_until(
        lambda: again.search(reader.machine.log_text()), "the service runs the new code", seconds=60
    )
    # The command asks at a terminal, and takes a weak password only when it is told so.
    added = reader.type(
        "echo password1 | python run.py user add user1 --password-stdin --allow-weak"
    )
    assert added.returncode == 0, added.stderr
    return reader


pytestmark = pytest.mark.timeout(600)


def test_the_start_says_what_the_readme_shows(reader: Reader) -> None:
    said = [line for line in reader.said_at_the_start.splitlines() if "install" not in line]
    shown = block_with(README, "text", "Ready in").splitlines()

    # What comes ready first is a matter of luck.
    assert sorted(map(shape_of, filter(None, said))) == sorted(map(shape_of, filter(None, shown)))


def shape_of(line: str) -> str:
    """Return a line without what is another one at every start."""
    line = re.sub(r"/start/\S+", "/start/SECRET", line)
    line = re.sub(r"(?<!\S)/\S*(\.celeriac|checkout)(/\S*)?", r"FOLDER\2", line)
    return " ".join(re.sub(r"\d+(\.\d+)*", "N", line).split())


def test_init_writes_the_function_that_the_readme_shows(reader: Reader) -> None:
    shown = block_with(README, "python", "hello.greet")

    assert (reader.clone / "tasks.py").read_text() == TASKS == shown


@pytest.mark.parametrize(("command", "answer"), list(dialogues(README)))
def test_a_command_answers_as_it_is_shown(reader: Reader, command: str, answer: list[str]) -> None:
    typed = reader.type(command)

    said = [without_chance(line) for line in (typed.stdout + typed.stderr).splitlines()]
    assert answer
    assert [line for line in answer if without_chance(line) not in said] == [], said


def without_chance(line: str) -> str:
    """Return a line without the id of a task and the time it took."""
    line = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID", line)
    return re.sub(r"\b\d+\.\d+ s\b", "N s", line)


def test_the_three_calls_go_as_they_are_shown(reader: Reader) -> None:
    block = block_with(README, "sh", "TOKEN=")
    *begin, third = re.split(r"\n\n", block)
    mark = "\necho\n"

    typed = reader.type(mark.join(begin) + mark + "echo; echo token=$TOKEN")
    task_id = re.findall(r'"task_id":"([^"]+)"', typed.stdout)[0]
    token = re.findall(r"token=(\S+)", typed.stdout)[0]
    waited = reader.type(f"python run.py wait {TASK_ID} --timeout 60s", task_id=task_id)
    read_back = reader.type(f"TOKEN={token}\n{third}", task_id=task_id)

    assert '"status":"pending"' in typed.stdout
    assert waited.returncode == 0, waited.stderr
    assert '"status":"completed","result":"Processed: example data"' in read_back.stdout


def test_a_wrong_password_is_told_where_the_token_is_asked_for(reader: Reader) -> None:
    ask = re.split(r"\n\n", block_with(README, "sh", "TOKEN="))[0]

    typed = reader.type(ask.replace("YOUR-PASSWORD", "not-my-password"))
    away = reader.type(ask.replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}"))

    assert (typed.returncode, away.returncode) == (1, 1)
    assert re.fullmatch(r"curl: .*\n", away.stderr)
    assert "password" in typed.stderr
    assert typed.stdout == ""
    assert "Traceback" not in typed.stderr


def test_every_line_of_the_command_line_does_what_stands_beside_it(reader: Reader) -> None:
    ended = reader.type("python run.py submit text.wordcount text=x --quiet").stdout.strip()
    reader.type(f"python run.py wait {ended}")
    waits = reader.type("python run.py submit process data=x --delay 1h --quiet").stdout.strip()

    for line in COMMAND_LINE.splitlines():
        task_id = waits if "cancel" in line else ended
        typed = reader.type(line, task_id=task_id)

        assert typed.returncode == 0, f"{line}: {typed.stdout}{typed.stderr}"


def test_the_client_says_what_stands_beside_it(reader: Reader) -> None:
    block = block_with(README, "python", "import Client")
    (reader.clone / "ask.py").write_text(
        block.replace("127.0.0.1:8000", f"127.0.0.1:{reader.machine.port}").replace(
            "YOUR-PASSWORD", "password1"
        )
    )

    typed = reader.type(".venv/bin/python ask.py")

    expected = re.findall(r"print\(.*\) +# (.+)", block)
    assert expected == ["queued, or running already", "Processed: example data"]
    state, result = typed.stdout.splitlines()
    assert state in ("queued", "running"), typed.stderr
    assert result == expected[1]


def test_the_function_can_be_called_from_the_projects_root(reader: Reader) -> None:
    block = block_with(README, "python", "shout.submit")
    task = block_with(README, "python", "text.shout")
    (reader.clone / "more.py").write_text(f"{task}\n\n{block}\nprint(shout('hello'), handle.id)")

    typed = reader.type(".venv/bin/python -c 'import celery_app, more'")

    assert typed.stdout.startswith("['HELLO!']"), typed.stderr


def test_the_readme_shows_every_command_of_the_old_way_as_it_is_tested() -> None:
    from tests.acceptance.test_old_way import COMMANDS

    shown = block_with(README, "sh", "pip install").splitlines()

    assert shown[1:] == list(COMMANDS.values())


def test_no_block_of_the_readme_is_in_a_language_that_nobody_runs() -> None:
    languages = re.findall(r"^```(\w+)$", README, re.MULTILINE)

    # What is said in PowerShell is the same three calls; there is none on this system.
    assert set(languages) == {"sh", "python", "console", "text", "powershell"}
    assert len(blocks(README, "powershell")) == 1
    assert shutil.which("sh")
