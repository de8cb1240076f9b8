"""The package as strangers get it: built, installed into an empty environment, and used."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.machine import UpProcess
from tests.servers.processes import PROJECT, clean_environment
from tests.servers.pythons import install, make_environment, newest_python

# An app as it stood before anybody had heard of us.
OLD_APP = """
from celery import Celery

app = Celery("proj", broker="redis://localhost:1/0", include=["proj.sums"])
app.conf.task_default_queue = "sums"
"""
OLD_TASKS = """
from proj.celery import app

@app.task(bind=True)
def add(self, x, y):
    return x + y
"""


class Installed:
    """An environment with nothing but the wheel and what it asks for."""

    def __init__(self, folder: Path, python: str, wheel: Path) -> None:
        self.python = make_environment(folder, python)
        self.command = str(self.python.with_name("celeriac"))
        install(self.python, str(wheel))

    def run(self, folder: Path, *words: str, data: Path | None = None) -> str:
        """Run a command in a folder and return what it printed."""
        changes = {"PYTHONPATH": "", "CELERIAC_DATA_DIR": str(data or folder / ".celeriac")}
        done = subprocess.run(
            [self.command, *words],
            cwd=folder,
            env=clean_environment(changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, folder: Path, *words: str) -> UpProcess:
        """Return everything on one machine, to be started in a folder."""
        return UpProcess(
            folder,
            command=(self.command, "up", *words),
            project=folder,
            environment={"PYTHONPATH": ""},
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    _build(PROJECT, folder)
    return folder


@pytest.fixture(scope="module", params=["oldest", "newest"])
def installed(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    python = sys.executable if request.param == "oldest" else newest_python()
    folder = tmp_path_factory.mktemp(request.param) / "venv"
    (wheel,) = built.glob("*.whl")
    return Installed(folder, python, wheel)


def _build(source: Path, target: Path, *kinds: str) -> None:
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *kinds]
    done = subprocess.run([*words, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _files(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist()}


def test_every_file_of_the_package_is_in_the_wheel(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    ours = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "celeriac").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    found = {name for name in _files(wheel) if name.startswith("celeriac/")}

    assert found == ours
    kinds = {Path(name).suffix for name in found}
    assert {".py", ".lua", ".html", ".css", ".js", ".svg", ".txt"} <= kinds
    assert any("migrations/versions/0001" in name for name in found)


def test_the_sdist_builds_the_wheel_that_the_sources_build(built: Path, tmp_path: Path) -> None:
    # `build` makes the wheel from the sdist it has just made.
    (from_sdist,) = built.glob("*.whl")

    _build(PROJECT, tmp_path, "--wheel")

    (from_sources,) = tmp_path.glob("*.whl")
    assert _files(from_sdist) == _files(from_sources)


def test_the_sdist_holds_what_a_packager_needs_and_nothing_of_ours_alone(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= names
    assert {"run.py", "celery_app.py", "tests/acceptance/test_package.py"} <= names
    assert not any(name.startswith((".ci", ".celeriac", ".venv", "dist")) for name in names)


@pytest.mark.timeout(400)
def test_a_first_task_is_written_served_and_run(installed: Installed, tmp_path: Path) -> None:
    installed.run(tmp_path, "init")

    with installed.up(tmp_path, "tasks.py") as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        words = ("submit", "hello.greet", "name=Ada", "times=2", "--watch")
        greeted = installed.run(tmp_path, *words, data=machine.data)
        sample = installed.run(
            tmp_path, "submit", "text.wordcount", "text=a b", "--watch", "--json", data=machine.data
        )
        checked = installed.run(tmp_path, "doctor", data=machine.data)

    assert json.loads(greeted) == ["Hello, Ada!", "Hello, Ada!"]
    assert json.loads(sample)["result"]["words"] == 2
    assert "everything is well" in checked
    assert str(PROJECT) not in machine.log_text()


@pytest.mark.timeout(400)
def test_an_existing_celery_app_is_run_as_it_is(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "proj").mkdir()
    for name, text in (("__init__", ""), ("celery", OLD_APP), ("sums", OLD_TASKS)):
        (tmp_path / "proj" / f"{name}.py").write_text(text)

    with installed.up(tmp_path, "-A", "proj.celery:app") as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        words = ("submit", "proj.sums.add", "x=1", "y=2", "--watch")
        result = installed.run(tmp_path, *words, data=machine.data)

    assert json.loads(result) == 3
    assert "queues default, high_priority, sums" in machine.log_text()
