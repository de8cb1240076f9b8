from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from click import UsageError

from celeriac.engine.command import run_flower, run_worker
from tests.engines import open_app
from tests.servers.processes import PROJECT, clean_environment

pytestmark = pytest.mark.slow


def test_a_worker_imports_nothing_of_the_service_and_of_flower(tmp_path: Path) -> None:
    heavy = ("fastapi", "flower", "tornado", "httpx", "prompt_toolkit", "uvicorn")
    program = (
        "import sys; sys.argv[1:] = ['--help'];"
        "import runpy\n"
        "try: runpy.run_module('celeriac.entries.worker', run_name='__main__')\n"
        f"except SystemExit: print([name for name in {heavy!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "--concurrency" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_flower_takes_its_own_options_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_app(tmp_path) as app:
        code = run_flower(app, ["--help"])

    assert code == 0
    assert "Web based tool" in capsys.readouterr().out


def test_an_option_that_is_none_is_refused(tmp_path: Path) -> None:
    with open_app(tmp_path) as app, pytest.raises(UsageError, match="--no-such-option"):
        run_worker(app, ["--no-such-option"])

    assert gc.isenabled()


def test_a_worker_told_an_option_that_is_none_says_so_as_all_commands_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "worker", "--autoscal", "3,1"],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: not done",
        "  why   there is no option '--autoscal'; did you mean --autoscale?",
        "  fix   python run.py worker -- --help says what Celery takes",
    ]
