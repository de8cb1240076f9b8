from __future__ import annotations

import os
from pathlib import Path

import pytest

from celeriac.up.sources import Sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "tasks.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "below").mkdir()
    return Sources([tmp_path])


def test_nothing_has_changed_at_first(sources: Sources) -> None:
    assert sources.changes() == set()


def test_a_file_that_is_written_comes_or_goes_is_told_once(
    sources: Sources, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text("x = 22\n")
    (tmp_path / "new.py").touch()
    first = sources.changes()
    (tmp_path / "new.py").unlink()

    assert first == {tmp_path / "tasks.py", tmp_path / "new.py"}
    assert sources.changes() == {tmp_path / "new.py"}
    assert sources.changes() == set()


def test_a_file_of_the_same_size_is_told_by_its_time(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("x = 2\n")
    os.utime(tmp_path / "tasks.py", ns=(1, 1))

    assert sources.changes() == {tmp_path / "tasks.py"}


def test_only_python_in_the_folders_themselves_counts(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("y")
    (tmp_path / "below" / "deep.py").touch()

    assert sources.changes() == set()


def test_a_folder_is_looked_at_from_how_it_was_when_it_was_added(
    sources: Sources, tmp_path: Path
) -> None:
    (tmp_path / "below" / "old.py").touch()
    sources.add([tmp_path / "below", tmp_path])
    (tmp_path / "below" / "new.py").touch()

    assert sources.changes() == {tmp_path / "below" / "new.py"}


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert Sources([tmp_path / "gone"]).changes() == set()
