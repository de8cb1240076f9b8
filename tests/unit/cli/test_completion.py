from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.cli import main, without_colour
from celeriac.cli.completion import script_for, shell_of
from celeriac.up.lock import DataFolderLock
from tests.servers.processes import PROJECT, clean_environment

pytestmark = pytest.mark.slow


def complete(*words: str, **environment: str) -> list[str]:
    """Return what bash would be told to fill in after these words."""
    asked = {
        "_CELERIAC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("celeriac", *words)),
        "COMP_CWORD": str(len(words)),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-m", "celeriac"],
        cwd=PROJECT,
        env=clean_environment(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_are_filled_in_at_every_level() -> None:
    assert complete("su") == ["submit"]
    assert complete("tasks", "re") == ["retry"]
    assert complete("up", "--single") == ["--single-process"]


def test_without_a_service_nothing_is_filled_in_and_nothing_is_said(tmp_path: Path) -> None:
    alone = {"CELERIAC_DATA_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    away = {"CELERIAC_URL": "http://127.0.0.1:1", "CELERIAC_KEY": "ck_x"}

    assert complete("submit", "te", **alone) == []
    assert complete("get", "0", **alone, **away) == []
    assert complete("queues", "pause", "d", **alone, **away) == []


def test_a_service_that_only_starts_is_not_waited_for(tmp_path: Path) -> None:
    lock = DataFolderLock(tmp_path)
    lock.acquire()

    # Nothing is said of it either.
    assert (
        complete("submit", "te", CELERIAC_DATA_DIR=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
        == []
    )

    lock.release()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_our_own_command(shell: str) -> None:
    script = script_for(shell)

    assert f"_CELERIAC_COMPLETE={shell}_complete" in script
    assert "%(" not in script


def test_bash_fills_in_what_the_installed_script_says(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "celeriac"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m celeriac "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    home = clean_environment({"HOME": str(tmp_path), "SHELL": "/bin/bash"})
    words = [sys.executable, "-m", "celeriac", "completion", "install"]
    installed = subprocess.run(
        words, cwd=PROJECT, env=home, capture_output=True, text=True, check=True
    )
    file = tmp_path / ".local/share/bash-completion/completions/celeriac"

    typed = f'source "{file}"; COMP_WORDS=(celeriac doc); COMP_CWORD=1; '
    done = subprocess.run(
        ["bash", "-c", typed + '_celeriac_completion celeriac; echo "${COMPREPLY[@]}"'],
        cwd=PROJECT,
        env={**home, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert str(file) in installed.stderr
    assert installed.stdout == ""
    assert done.stdout.strip() == "doctor"


def test_a_shell_that_is_unknown_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell_of("/usr/bin/zsh") == "zsh"
    assert main(["completion", "show", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "left", "is_plain"),
    [
        (["--no-color", "tasks", "list"], ["tasks", "list"], True),
        (["tasks", "list", "--no-color"], ["tasks", "list"], True),
        # The worker goes by the environment too.
        (["worker", "--no-color", "-n", "w"], ["worker", "-n", "w"], True),
        # Behind this it is no option.
        (["submit", "x", "--", "--no-color"], ["submit", "x", "--", "--no-color"], False),
        (["tasks", "list"], ["tasks", "list"], False),
    ],
)
def test_no_color_may_stand_anywhere(words: list[str], left: list[str], *, is_plain: bool) -> None:
    environment: dict[str, str] = {}

    assert without_colour(words, environment) == left
    assert ("NO_COLOR" in environment) is is_plain
