from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.clones import make_clone, package_cache
from tests.acceptance.machine import UpProcess, wait_until_ended
from tests.servers.processes import clean_environment


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which nothing was ever started."""
    return make_clone(tmp_path_factory.mktemp("clone") / "checkout with a blank")


@pytest.fixture
def first_start(clone: Path, tmp_path: Path) -> Iterator[UpProcess]:
    """`python run.py` in that checkout, by a user with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    process = UpProcess(
        tmp_path,
        command=[sys.executable, "run.py"],
        project=clone,
        data=clone / ".celeriac",
        environment={"HOME": str(home), **package_cache()},
    )
    yield process
    process.stop()


@pytest.mark.timeout(600)
def test_one_command_in_a_fresh_clone_answers_and_the_second_time_it_makes_nothing_again(
    first_start: UpProcess, clone: Path
) -> None:
    first_start.start_ready(seconds=300)
    assert httpx.get(f"{first_start.url}/readyz").status_code == 200
    everyone = first_start.everyone()
    first_start.interrupt()
    assert first_start.wait() == 0
    wait_until_ended(everyone)
    made = _made_once(clone)

    first_start.start_ready(seconds=60)
    said = first_start.log_text()
    first_start.interrupt()
    first_start.wait()

    assert "installing" not in said
    assert "(new)" not in said
    # How long it takes says `python run.py bench --only start`.
    assert _made_once(clone) == made


@pytest.mark.timeout(600)
def test_run_py_passes_words_and_exit_codes_on(clone: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(clone / "run.py"), *words],
            cwd="/",
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("version").stdout.strip() == "0.1.0"
    assert run("nonsense").returncode == 2
    assert run("--port", "x").stderr.endswith("'x'; allowed: a port from 0 to 65535\n")


def _made_once(clone: Path) -> dict[str, tuple[int, bytes]]:
    """Return what the first start leaves for those that follow, each with when it was written."""
    names = (".venv/run.stamp", ".venv/pyvenv.cfg", ".celeriac/secret.key")
    kept = (*names, ".celeriac/profile.json", ".celeriac/up/flower.password")
    return {name: ((clone / name).stat().st_mtime_ns, (clone / name).read_bytes()) for name in kept}
