from __future__ import annotations

import sys
from pathlib import Path

import pytest
from celery import Celery

from celeriac.engine.loader import TolerantLoader


def test_a_module_in_the_folder_one_stands_in_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "found_where_one_stands.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # As for a program on the PATH: neither its own folder nor the current one.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    app = Celery("app", loader=TolerantLoader, include=["found_where_one_stands"])

    app.loader.import_default_modules()

    assert app.loader.problems == ()
    assert "found_where_one_stands" in sys.modules
    assert str(tmp_path) not in sys.path
    app.close()
