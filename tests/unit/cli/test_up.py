from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac.cli import main
from celeriac.cli import up as command


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What everything would have been started with."""
    monkeypatch.delenv("CELERIAC_BROKER_URL", raising=False)
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(command, "run_up", lambda settings, **rest: found.append(rest))
    return found


@pytest.mark.parametrize(
    ("system", "words", "is_single"),
    [
        ("posix", [], False),
        ("posix", ["--single-process"], True),
        ("nt", [], True),
        ("nt", ["--several-processes"], False),
        # Somebody has a broker that several can share.
        ("nt", ["--broker-url", "redis://there"], False),
    ],
)
def test_one_process_is_the_way_of_windows_alone(
    monkeypatch: pytest.MonkeyPatch,
    started: list[dict[str, Any]],
    system: str,
    words: list[str],
    *,
    is_single: bool,
) -> None:
    here = SimpleNamespace(name=system, environ={})
    monkeypatch.setattr(command, "os", here)

    code = main(["up", *words])

    assert code == 0
    assert [each["is_single"] for each in started] == [is_single]


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["tasks.py", "-A", "proj:app"], "give one of them"),
        (["proj.celery:app"], "a Celery app is named by -A MODULE:ATTRIBUTE"),
        (["--single-process", "--reload"], "leave out --reload or --single-process"),
    ],
)
def test_words_that_contradict_each_other_start_nothing(
    capsys: pytest.CaptureFixture[str],
    started: list[dict[str, Any]],
    words: list[str],
    fix: str,
) -> None:
    code = main(["up", *words])

    assert (code, started) == (2, [])
    assert capsys.readouterr().err.splitlines()[-1] == f"  fix   {fix}"
