from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from celeriac import __version__
from celeriac.cli import commands, main
from tests.servers.ports import free_port

SERVERS = ("fastapi", "celery", "sqlalchemy", "kombu", "pydantic", "argon2")
HEAVY = (*SERVERS, "httpx")


def test_the_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--help"])

    assert code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("up", "user", "version"))


def test_the_version_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["version"])

    assert code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["user", "nonsense"],
        # A name is missing.
        ["user", "add"],
        ["user", "add", "ana", "--role", "king"],
    ],
)
def test_a_command_that_makes_no_sense_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)

    assert code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["submt"],
            [
                "why   there is no command 'submt'; did you mean submit?",
                "fix   python run.py --help",
            ],
        ),
        (
            ["tasks", "lst"],
            [
                "why   there is no command 'lst'; did you mean list?",
                "fix   python run.py tasks --h",
            ],
        ),
        (
            ["submit", "x", "--quite"],
            [
                "why   there is no option '--quite'; did you mean --quiet",
                "fix   python run.py sub",
            ],
        ),
        (
            ["get", "../x"],
            [
                "why   invalid value for 'ID': '../x' cannot be a task's id",
                "fix   python run.py get",
            ],
        ),
        (
            ["submit"],
            ["why   missing argument 'NAME'", "fix   python run.py submit --help"],
        ),
        (
            ["submit", "x", "--wait"],
            [
                "why   option '--wait' requires an argument",
                "fix   write --wait 30s, for example; python run.py submit --help says",
            ],
        ),
        (
            ["tasks", "list", "--tag"],
            [
                "why   option '--tag' requires an argument",
                "fix   python run.py tasks list --help says",
            ],
        ),
        (
            ["user", "add", "ana"],
            [
                "why   there is no terminal to ask",
                "fix   let them choose it by a link, with --link",
            ],
        ),
    ],
)
def test_a_command_that_was_misspelled_is_told_with_what_was_meant(
    arguments: list[str],
    lines: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CELERIAC_COMMAND", raising=False)

    code = main(arguments)

    assert code == 2
    what, *said = capsys.readouterr().err.splitlines()
    assert what == "error: not done"
    assert [line[: len(f"  {told}")] for line, told in zip(said, lines, strict=True)] == [
        f"  {told}" for told in lines
    ]


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["tasks", "show", "t1"], "did you mean get?"),
        (["tasks", "info", "t1"], "did you mean get?"),
        (["tasks", "ls"], "did you mean list?"),
        (["tasks", "rerun", "t1"], "did you mean retry?"),
        (["user", "show"], "did you mean list?"),
        (["key", "delete", "k1"], "did you mean revoke?"),
        (["users"], "did you mean user?"),
        (["enqueue", "x"], "did you mean submit?"),
        # A slip of the finger, and a word that means nothing.
        (["tasks", "lis"], "did you mean list?"),
        (["tasks", "frobnicate"], ""),
    ],
)
def test_another_programs_word_for_a_command_is_answered_with_ours(
    arguments: list[str], question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)

    why = capsys.readouterr().err.splitlines()[1]
    assert code == 2
    assert why.partition("; ")[2] == question


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code", "fix"),
    [
        (["tasks", "show", "t1", "--json"], "misuse", 2, "python run.py tasks --help says"),
        (["get", "t1", "--json", "--url", "http://x"], "not_signed_in", 4, "give one with --key"),
    ],
)
def test_an_error_is_one_object_where_json_is_wanted(
    arguments: list[str],
    code: str,
    exit_code: int,
    fix: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    ended = main(arguments)

    said = capsys.readouterr()
    told = json.loads(said.err)
    assert (ended, said.out, said.err.count("\n")) == (exit_code, "", 1)
    assert told["code"] == code
    assert told["fix"].startswith(fix)


def test_a_value_that_looks_like_the_option_makes_no_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["frobnicate", "--", "--json"])

    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("words", [[], ["user"], ["queues"], ["tasks"], ["key"]])
def test_a_group_alone_shows_its_commands_and_is_no_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(words)
    alone = capsys.readouterr()
    main([*words, "--help"])

    assert (code, alone.err) == (0, "")
    assert alone.out == capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["user", "--help"], ["version"]])
def test_help_imports_no_library_of_the_service(arguments: list[str]) -> None:
    program = (
        "import sys; from celeriac.cli import main; main(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["get", "t1"], ["tasks", "list"], ["submit", "x"]])
def test_a_command_that_asks_a_service_imports_no_library_of_it(arguments: list[str]) -> None:
    program = (
        "import sys; from celeriac.cli import main; code = main(sys.argv[1:]);"
        f"print(code, [name for name in {SERVERS!r} if name in sys.modules])"
    )
    # Nobody listens there.
    away = ["--url", f"http://127.0.0.1:{free_port()}", "--key", "k"]

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, *away],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "7 []"


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def endless() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "version", endless)

    assert main(["version"]) == 130


def test_an_unexpected_error_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr(commands, "version", broken)

    code = main(["version"])

    assert code == 1
    said = capsys.readouterr().err
    assert "RuntimeError: oops" in said
    assert "Traceback" not in said


def test_an_unexpected_error_is_raised_for_whoever_debugs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @click.command()
    def broken() -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr(commands, "version", broken)
    monkeypatch.setenv("CELERIAC_LOG_LEVEL", "debug")

    with pytest.raises(RuntimeError, match="oops"):
        main(["version"])


def test_a_standard_stream_that_was_closed_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m celeriac version >&- <&-",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""


def test_a_reader_that_has_enough_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m celeriac --help | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
