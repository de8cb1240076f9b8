from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.errors import AppMissingError
from celeriac.up.named_app import check_app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "__init__.py").write_text("from proj.celery import app as celery_app\n")
    (tmp_path / "proj" / "celery.py").write_text("if 1 == 1:\n    app = ...\ndef make(): ...\n")
    (tmp_path / "proj" / "others.py").write_text("from proj.celery import *\n")
    (tmp_path / "proj" / "lazy.py").write_text("def __getattr__(name): ...\n")
    (tmp_path / "proj" / "made.py").write_text("globals()['app'] = ...\n")
    (tmp_path / "proj" / "broken.py").write_text("app = \n")
    (tmp_path / "bare.py").write_text("import proj.celery\nx: int = 1\n")
    (tmp_path / "raises.py").write_text("app = 1 / 0\n")
    return tmp_path


@pytest.mark.parametrize(
    "app",
    [
        "proj",
        "proj:celery_app",
        "proj.celery",
        "proj.celery:app",
        "proj.celery.app",
        "proj.celery:make",
        # Whether they have it shows when they run.
        "proj.others:app",
        "proj.lazy:app",
        "proj.made:app",
        "proj.broken:app",
        "bare:proj",
        "bare:x",
        # Nothing is imported.
        "raises:app",
        # One of a library.
        "json:loads",
    ],
)
def test_what_may_be_there_passes(folder: Path, app: str) -> None:
    check_app(app, folder)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("porj.celery:app", "no module 'porj' in {folder}; did you mean proj?"),
        ("nothing_like_it", "no module 'nothing_like_it' in {folder}"),
        ("proj.celrey:app", "no module 'celrey' in proj; did you mean celery?"),
        ("proj.celery:ap", "proj.celery has no 'ap'; did you mean app?"),
        ("proj.celery.deep:app", "proj.celery is no package"),
        ("bare:app", "bare has no 'app'"),
    ],
)
def test_what_is_not_there_is_told_with_what_was_meant(folder: Path, app: str, reason: str) -> None:
    with pytest.raises(AppMissingError) as caught:
        check_app(app, folder)

    assert str(caught.value) == f"there is no app {app}: {reason.format(folder=folder)}"
