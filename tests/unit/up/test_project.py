from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.errors import ProjectMissingError
from celeriac.up.project import Project, find_project
from tests.servers.processes import PROJECT


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_a_file_that_is_named_is_run_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    make(tmp_path / "shop", "tasks.py")

    project = find_project(tmp_path, "shop/tasks.py", checkout=None)

    assert project.folder == tmp_path / "shop"
    assert project.app == str(tmp_path / "shop" / "tasks.py")
    assert project.is_edited


def test_a_file_that_is_not_there_is_told_with_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectMissingError, match=r"no_such\.py") as refused:
        find_project(tmp_path, "no_such.py", checkout=None)

    assert "celeriac init" in refused.value.fix


def test_an_app_that_is_named_is_run_here(tmp_path: Path) -> None:
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "celery.py").write_text("app = ...\n")
    project = find_project(make(tmp_path, "celery_app.py"), "proj.celery:app", checkout=PROJECT)

    assert (project.folder, project.app) == (tmp_path, "proj.celery:app")
    assert not project.is_edited


def test_code_under_version_control_is_edited(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "shop.py").write_text("app = ...\n")

    assert find_project(tmp_path / "backend", "shop:app", checkout=None).is_edited


@pytest.mark.parametrize(
    ("files", "app", "web"),
    [
        # A checkout, or a folder made like one.
        (("celery_app.py", "main.py"), "celery_app", "main:app"),
        (("celery_app.py",), "celery_app", "celeriac.entries.web:app"),
        # Its own tasks stand in celery_app.py.
        (("celery_app.py", "tasks.py"), "celery_app", "celeriac.entries.web:app"),
    ],
)
def test_the_app_of_the_folder_is_run_when_nobody_names_one(
    tmp_path: Path, files: tuple[str, ...], app: str, web: str
) -> None:
    project = find_project(make(tmp_path, *files), "", checkout=PROJECT)

    assert (project.folder, project.app, project.web) == (tmp_path, app, web)


def test_the_tasks_of_the_folder_are_run_even_if_they_are_yet_to_be_written(tmp_path: Path) -> None:
    before = find_project(tmp_path, "", checkout=None)
    after = find_project(make(tmp_path, "tasks.py"), "", checkout=PROJECT)

    assert before == after
    assert after.app == str(tmp_path / "tasks.py")


def test_the_checkout_is_run_from_a_folder_without_tasks(tmp_path: Path) -> None:
    project = find_project(tmp_path, "", checkout=PROJECT)

    assert (project.folder, project.app, project.web) == (PROJECT, "celery_app", "main:app")


def test_the_programs_of_a_checkout_find_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("CELERIAC_COMMAND", "python3 run.py")
    project = Project(folder=Path("/shop"), app="shop:app", is_edited=False)

    environment = project.environment()

    assert environment["CELERIAC_APP"] == "shop:app"
    assert environment["PYTHONPATH"].split(":") == [str(PROJECT), "/elsewhere"]
    # What their texts tell somebody to type is what was typed to start them.
    assert environment["CELERIAC_COMMAND"] == "python3 run.py"
