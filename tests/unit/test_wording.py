from __future__ import annotations

import pytest

from celeriac import wording
from celeriac.wording import as_typed_here, command_word


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("celeriac up makes one", "python run.py up makes one"),
        ("start it, or `celeriac up`", "start it, or `python run.py up`"),
        # No command: a folder, an address, a variable, the project.
        ("the folder ~/.config/celeriac is closed", "the folder ~/.config/celeriac is closed"),
        ("celeriac 0.1.0  data /x", "celeriac 0.1.0  data /x"),
        ("set CELERIAC_URL", "set CELERIAC_URL"),
        ("Celeriac is one", "Celeriac is one"),
    ],
)
def test_a_command_is_told_as_it_is_typed_in_a_checkout(
    said: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERIAC_COMMAND", raising=False)

    assert as_typed_here(said) == typed


def test_an_installed_command_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "own_checkout", lambda: None)

    assert as_typed_here("celeriac up") == "celeriac up"


@pytest.mark.parametrize(
    ("program", "word"),
    [
        ("/checkout/celeriac/__main__.py", r"py C:\new\run.py"),
        # A service that `run.py` started knows the same word.
        ("/checkout/.venv/bin/uvicorn", r"py C:\new\run.py"),
        # Installed from the checkout, and called by its own name.
        ("/somewhere/bin/celeriac", "celeriac"),
    ],
)
def test_the_command_is_called_as_it_was_started(
    program: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [program, "up"])
    monkeypatch.setenv("CELERIAC_COMMAND", r"py C:\new\run.py")

    assert command_word() == word
    assert as_typed_here("`celeriac init` helps") == f"`{word} init` helps"
