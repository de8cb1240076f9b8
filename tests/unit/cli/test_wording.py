from __future__ import annotations

import pytest

from celeriac.cli import wording
from celeriac.cli.wording import as_typed_here


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
def test_a_command_is_told_as_it_is_typed_in_a_checkout(said: str, typed: str) -> None:
    assert as_typed_here(said) == typed


def test_an_installed_command_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "own_checkout", lambda: None)

    assert as_typed_here("celeriac up") == "celeriac up"
