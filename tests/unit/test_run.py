from __future__ import annotations

import ast
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

import run
from celeriac.cli.commands import celeriac
from tests.servers.processes import PROJECT

SOURCE = PROJECT / "run.py"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a folder of the test's, whose installs are quick and only pretended."""
    venv = tmp_path / ".venv"
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", venv)
    monkeypatch.setattr(run, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(run, "LOCK", venv / "run.lock")
    monkeypatch.setattr(run, "STAMP", venv / "run.stamp")
    for name, file in (("RUNTIME", "requirements.txt"), ("WITH_TOOLS", "requirements-dev.txt")):
        (tmp_path / file).write_text("one==1\n")
        monkeypatch.setattr(run, name, tmp_path / file)
    return tmp_path


@pytest.fixture
def installs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requirement files that were installed."""
    done: list[str] = []
    monkeypatch.setattr(run, "fill_environment", lambda wanted: done.append(wanted.name))
    return done


def test_a_second_start_installs_nothing(installs: list[str]) -> None:
    run.install(run.RUNTIME)
    run.install(run.RUNTIME)

    assert installs == ["requirements.txt"]


def test_a_start_after_the_tests_installs_nothing(installs: list[str]) -> None:
    run.install(run.WITH_TOOLS)
    run.install(run.RUNTIME)

    assert installs == ["requirements-dev.txt"]


def test_the_tests_after_a_start_install_their_tools(installs: list[str]) -> None:
    run.install(run.RUNTIME)
    run.install(run.WITH_TOOLS)

    assert installs == ["requirements.txt", "requirements-dev.txt"]


def test_changed_requirements_are_installed(installs: list[str]) -> None:
    run.install(run.RUNTIME)
    run.RUNTIME.write_text("one==2\n")

    run.install(run.RUNTIME)

    assert installs == ["requirements.txt", "requirements.txt"]


def test_a_start_leaves_older_tools_alone(installs: list[str]) -> None:
    run.install(run.WITH_TOOLS)
    run.WITH_TOOLS.write_text("one==1\ntool==2\n")

    run.install(run.RUNTIME)
    after_the_start = list(installs)
    run.install(run.WITH_TOOLS)

    assert after_the_start == ["requirements-dev.txt"]
    assert installs == ["requirements-dev.txt", "requirements-dev.txt"]


def test_a_start_that_installs_takes_no_tools_away(
    installs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_wanted: Path) -> None:
        raise KeyboardInterrupt

    run.install(run.WITH_TOOLS)
    run.RUNTIME.write_text("one==2\n")
    with monkeypatch.context() as patch:
        patch.setattr(run, "fill_environment", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.install(run.RUNTIME)

    run.install(run.RUNTIME)

    assert installs == ["requirements-dev.txt", "requirements-dev.txt"]


def test_an_interrupted_install_is_done_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_wanted: Path) -> None:
        raise KeyboardInterrupt

    done: list[Path] = []
    monkeypatch.setattr(run, "fill_environment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.install(run.RUNTIME)
    monkeypatch.setattr(run, "fill_environment", done.append)

    run.install(run.RUNTIME)

    assert done == [run.RUNTIME]


def test_another_python_makes_another_environment(
    installs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.install(run.RUNTIME)
    left_over = run.VENV / "left-over"
    left_over.touch()
    monkeypatch.setattr(run, "python_facts", lambda: "another")

    run.install(run.RUNTIME)

    assert len(installs) == 2
    assert not left_over.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_stamp_that_makes_no_sense_is_no_stamp(checkout: Path, text: str) -> None:
    run.VENV.mkdir()
    run.STAMP.write_text(text)

    assert run.read_stamp() == {}


def test_an_environment_without_pip_takes_that_of_the_python_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(name: str, *, with_pip: bool) -> str:
        venv.create(tmp_path / name, with_pip=with_pip, symlinks=True)
        return str(tmp_path / name / "bin" / "python")

    bare, full = make("bare", with_pip=False), make("full", with_pip=True)
    monkeypatch.setattr(sys, "executable", bare)
    monkeypatch.setattr(sys, "_base_executable", full, raising=False)
    assert run.python_with_pip() == full

    monkeypatch.setattr(sys, "_base_executable", bare)
    with pytest.raises(SystemExit):
        run.python_with_pip()
    assert "no pip in this Python" in capsys.readouterr().err


def test_only_one_start_installs_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with run.only_one(path), path.open("a+b") as second:
        while_held = run.try_lock(second)
    with path.open("a+b") as third:
        afterwards = run.try_lock(third)

    assert (while_held, afterwards) == (False, True)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], ["up"]),
        # Options without a word belong to `up`.
        (["--port", "1"], ["up", "--port", "1"]),
        (["up", "--port", "1"], ["up", "--port", "1"]),
        (["user", "add", "ana"], ["user", "add", "ana"]),
        (["--no-color", "doctor"], ["--no-color", "doctor"]),
        (["--no-color", "--port", "1"], ["up", "--no-color", "--port", "1"]),
        (["--no-color"], ["up", "--no-color"]),
    ],
)
def test_words_are_passed_on_to_celeriac(
    installs: list[str], monkeypatch: pytest.MonkeyPatch, words: list[str], command: list[str]
) -> None:
    handed: list[list[str]] = []

    def hand_over(words: list[str]) -> int:
        handed.append(words)
        return 7

    monkeypatch.setattr(run, "hand_over", hand_over)

    code = run.main(words)

    assert code == 7
    assert handed == [[str(run.PYTHON), "-m", "celeriac", *command]]
    assert installs == ["requirements.txt"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["check"], ["fast tests"]),
        (["test"], ["fast tests", "tests with servers"]),
        (["test", "-k", "one"], ["tests"]),
    ],
)
def test_the_gates_are_the_texts_and_then_the_tests(
    installs: list[str], monkeypatch: pytest.MonkeyPatch, words: list[str], names: list[str]
) -> None:
    ran: list[str] = []

    def run_gates(gates: Sequence[run.Gate]) -> int:
        ran.extend(name for name, _ in gates)
        return 0

    monkeypatch.setattr(run, "run_gates", run_gates)

    run.main(words)

    assert ran == ["ruff format", "ruff check", "mypy", "import-linter", *names]
    assert installs == ["requirements-dev.txt"]


def test_every_gate_runs_and_the_first_red_one_decides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "PYTHON", Path(sys.executable))
    gates = [
        ("green", ("-c", "")),
        ("first", ("-c", "raise SystemExit(3)")),
        ("second", ("-c", "raise SystemExit(4)")),
    ]

    code = run.run_gates(gates)

    assert code == 3
    said = capsys.readouterr().err
    assert [line.split()[:2] for line in said.splitlines()[-3:]] == [
        ["ok", "green"],
        ["RED", "first"],
        ["RED", "second"],
    ]


def test_a_command_that_a_signal_ended_has_the_shell_s_code() -> None:
    code = run.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"])

    assert code == 128 + 15


def test_a_command_finds_the_package_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")

    environment = run.environment()

    assert environment["PYTHONPATH"].split(":") == [str(PROJECT), "mine"]


def test_an_older_python_is_refused_with_a_sentence() -> None:
    # Parsed by the rules of that version: a sentence needs a file that can be read.
    ast.parse(SOURCE.read_text(), feature_version=(3, 7))
    pretend = (
        "import sys; sys.version_info = (3, 8, 0, 'final', 0);"
        f"exec(compile(open({str(SOURCE)!r}).read(), 'run.py', 'exec'))"
    )

    done = subprocess.run(
        [sys.executable, "-c", pretend], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Celeriac needs Python 3.11 or newer")


def test_the_help_installs_nothing(installs: list[str]) -> None:
    assert run.main(["--help"]) == 0
    assert installs == []


def test_the_help_names_every_word_that_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    run.main(["--help"])

    words = capsys.readouterr().out.split()
    assert [
        name for name in celeriac.list_commands(click.Context(celeriac)) if name not in words
    ] == []


def test_a_reader_that_has_enough_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} {SOURCE} --help | true", shell=True, capture_output=True, check=True
    )

    assert done.stderr == b""


@pytest.mark.parametrize(
    ("python", "script", "word"),
    [
        ("python3", "run.py", "python3 run.py"),
        ("/opt/python/bin/python3.11", "../run.py", "python3.11 ../run.py"),
        ("python.exe", "my folder/run.py", "python 'my folder/run.py'"),
        ("", "run.py", "python run.py"),
    ],
)
def test_the_command_is_handed_on_as_it_was_typed(python: str, script: str, word: str) -> None:
    assert run.command_word(python, script) == word


def test_the_requirements_hold_hashes_and_no_address() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (PROJECT / name).read_text()
        packages = [line for line in text.splitlines() if "==" in line and line[0] != "#"]
        assert packages
        assert all(line.endswith("\\") for line in packages)
        assert "://" not in text


def test_the_tools_need_the_same_versions_as_the_runtime() -> None:
    def pins(name: str) -> set[str]:
        lines = (PROJECT / name).read_text().splitlines()
        return {line.split(" ")[0] for line in lines if "==" in line and line[0] not in "# "}

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
