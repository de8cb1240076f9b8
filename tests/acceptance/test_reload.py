"""Changed tasks are taken up while everything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from celeriac.cli.init import TASKS
from tests.acceptance.asking import asking
from tests.acceptance.machine import UpProcess
from tests.servers.processes import PROJECT, clean_environment


class Shop(UpProcess):
    """A machine that runs a file of tasks."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tasks.py"
        self.file.write_text(TASKS)
        command = (sys.executable, "-m", "celeriac", "up", "tasks.py")
        # What is compiled counts as new when its file's second or size differs; here neither may.
        environment = {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
        super().__init__(folder, command=command, project=folder, environment=environment)

    def greet(self) -> object:
        """Have somebody greeted, and return how."""
        return json.loads(self.submit("hello.greet", "name=Ada", "--watch"))

    def submit(self, *words: str) -> str:
        """Submit a task, and return what is said on standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "celeriac", "submit", *words],
            cwd=PROJECT,
            env=clean_environment({"CELERIAC_DATA_DIR": str(self.data)}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + self.log_text()
        return done.stdout

    def wait_for_starts(self, count: int) -> None:
        """Wait until worker and web have been ready so often."""
        for name in ("worker", "web"):
            self.wait_until(
                partial(self._has_started, name, count), f"{name} started {count} times", seconds=60
            )

    def _has_started(self, name: str, count: int) -> bool:
        return self.log_text().count(f"✓ {name} ") >= count


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Shop(tmp_path) as shop:
        shop.wait_for_log("Ctrl-C", seconds=60)
        yield shop


def test_new_code_is_taken_broken_code_leaves_the_old_and_whoever_asks_is_answered(
    shop: Shop,
) -> None:
    assert shop.greet() == ["Hello, Ada!"]

    with asking(shop.port) as asker:
        shop.file.write_text(TASKS + "\n\ndef half(:\n")
        shop.wait_for_log("SyntaxError", seconds=40)

        assert f"({shop.file}, line 11)" in shop.log_text()
        assert shop.greet() == ["Hello, Ada!"]

        shop.file.write_text(TASKS.replace("Hello", "Hallo"))
        shop.wait_for_starts(2)

        assert shop.greet() == ["Hallo, Ada!"]

        shop.file.write_text(
            shop.file.read_text()
            + '\n\n@task(name="hello.wave")\ndef wave() -> None:\n    """Wave."""\n'
            + "    print('100% waved', 2)\n    return 1 / 0\n"
        )
        shop.wait_for_log("1 new task: hello.wave", seconds=40)
        shop.wait_for_starts(3)

    assert asker.troubles == []
    assert len(asker.took) > 50
    assert shop.log_text().count("SyntaxError") == 1
    shop.submit("hello.wave")
    shop.wait_for_log("! task       hello.wave failed: ZeroDivisionError: division by zero")
    shop.wait_for_log(f"{shop.url}/ui/tasks/")
    assert "· task       hello.wave: 100% waved" in shop.log_text()
    assert "raised unexpected" not in shop.log_text()
    assert "Traceback" in (shop.data / "up" / "worker.log").read_text()
