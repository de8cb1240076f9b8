from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from celeriac.engine.own_code import code_version, own_files

MODULE = "version_tasks"


@pytest.fixture
def app_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """Return what makes an app whose only task stands in a file."""

    def make(file: Path) -> Any:
        module = ModuleType(MODULE)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, MODULE, module)
        return SimpleNamespace(tasks={"one": SimpleNamespace(__module__=MODULE)})

    return make


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_the_same_code_is_the_same_version_wherever_it_lies(
    tmp_path: Path, app_of: Callable[[Path], Any]
) -> None:
    here = code_version(app_of(write(tmp_path / "here" / "tasks.py", "x = 1\n")))
    there = code_version(app_of(write(tmp_path / "there" / "tasks.py", "x = 1\n")))

    assert here == there
    assert len(here) == 12


def test_changed_code_is_another_version(tmp_path: Path, app_of: Callable[[Path], Any]) -> None:
    before = code_version(app_of(write(tmp_path / "tasks.py", "x = 1\n")))
    after = code_version(app_of(write(tmp_path / "tasks.py", "x = 2\n")))

    assert before != after


def test_code_without_a_file_has_a_version_too(
    tmp_path: Path, app_of: Callable[[Path], Any]
) -> None:
    assert code_version(app_of(tmp_path / "gone.py"))


def test_an_app_without_tasks_has_none() -> None:
    assert code_version(SimpleNamespace(tasks={})) == ""


def test_own_files_are_those_of_no_library() -> None:
    files = own_files()

    assert Path(__file__) in files
    assert not any("site-packages" in file.parts for file in files)
