from __future__ import annotations

import sys
from pathlib import Path

import pytest

from celeriac.engine.modules import ImportProblem, import_task_modules


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def test_a_module_that_fails_is_told_and_the_others_load(folder: Path) -> None:
    (folder / "broken_tasks.py").write_text("x = 1\ny = x / 0\n")
    (folder / "sound_tasks.py").write_text("x = 1\n")

    problems = import_task_modules(["broken_tasks", "sound_tasks"])

    assert problems == (
        ImportProblem(
            module="broken_tasks",
            file=str(folder / "broken_tasks.py"),
            line=2,
            message="ZeroDivisionError: division by zero",
        ),
    )
    assert "sound_tasks" in sys.modules


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        # The line that asks for the missing module, not the import system's own.
        ("\nimport no_such_module", 2, "ModuleNotFoundError: No module named 'no_such_module'"),
        # The user's line, not the one deep in the library that raised.
        ("import json\n\njson.loads('x')", 3, "JSONDecodeError: Expecting value"),
        ("x = (\n", 1, "SyntaxError: '(' was never closed"),
        ("import sys\nsys.exit('no')", 2, "SystemExit: no"),
        ("raise ValueError", 1, "ValueError"),
    ],
)
def test_the_users_own_line_is_named(folder: Path, source: str, line: int, message: str) -> None:
    (folder / "failing_tasks.py").write_text(source)

    (problem,) = import_task_modules(["failing_tasks"])

    assert problem.file == str(folder / "failing_tasks.py")
    assert problem.line == line
    assert problem.message.startswith(message)


def test_a_module_that_is_not_there_has_no_line() -> None:
    (problem,) = import_task_modules(["no_such_tasks"])

    assert str(problem) == (
        "the task module no_such_tasks cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_tasks'"
    )


def test_a_problem_names_its_place(folder: Path) -> None:
    (folder / "placed_tasks.py").write_text("1 / 0")

    (problem,) = import_task_modules(["placed_tasks"])

    assert str(problem).endswith(f"({folder / 'placed_tasks.py'}, line 1)")
