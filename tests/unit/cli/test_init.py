from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from celeriac.cli import main
from celeriac.cli.init import TASKS
from celeriac.cli.worker import worker_command
from celeriac.settings import Settings
from tests.engines import open_app


def test_a_file_with_a_task_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    first = main(["init"])
    (tmp_path / "tasks.py").write_text("# mine\n")
    second = main(["init"])

    assert (first, second) == (0, 2)
    assert (tmp_path / "tasks.py").read_text() == "# mine\n"
    assert "exists already" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "nowhere" / "tasks.py")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_task_that_is_written_runs(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "written"}
    # Of an app that stays open: another test's, closed by now, would not know the task.
    with open_app(tmp_path):
        exec(compile(TASKS, "tasks.py", "exec"), names)
        greeted = names["greet"]("Ada", 2)

    assert len(TASKS.splitlines()) == 8
    assert greeted == ["Hello, Ada!", "Hello, Ada!"]


def test_a_worker_gets_the_settings_and_what_celery_shall_hear() -> None:
    settings = Settings(concurrency=3, queues=("a", "b"))

    command = worker_command(settings, ["-n", "w"], has_queues=True, has_processes=True)
    plain = worker_command(settings, [], has_queues=False, has_processes=False)

    assert command[1:3] == ["-m", "celeriac.entries.worker"]
    assert command[3:5] == ["--pool=processes", "--concurrency=3"]
    assert command[-4:] == ["-Q", "a,b", "-n", "w"]
    assert "--pool=threads" in plain
    assert "-Q" not in plain
