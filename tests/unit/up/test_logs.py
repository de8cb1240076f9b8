from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.up import logs
from celeriac.up.logs import LogReader


def test_a_reader_returns_what_is_new_since_its_last_look(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("of an earlier start\n")
    reader = LogReader(log)

    with log.open("a") as file:
        file.write("one\ntwo\n")

    assert reader.read_lines() == ["one", "two"]
    assert reader.read_lines() == []


def test_a_line_is_returned_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    reader = LogReader(log)

    log.write_text("half")
    before = reader.read_lines()
    log.write_text("half a line\n")

    assert before == []
    assert reader.read_lines() == ["half a line"]


def test_a_missing_log_has_no_lines(tmp_path: Path) -> None:
    assert LogReader(tmp_path / "none.log").read_lines() == []


def test_a_log_that_was_emptied_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("a long line of an earlier start\n")
    reader = LogReader(log)

    log.write_text("new\n")

    assert reader.read_lines() == ["new"]


def test_a_log_that_grew_too_large_is_moved_and_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LARGEST_BYTES", 10)
    log = tmp_path / "x.log"
    log.write_text("more than ten bytes\n")
    reader = LogReader(log)

    reader.limit()

    assert log.read_text() == ""
    assert (tmp_path / "x.log.1").read_text() == "more than ten bytes\n"
    assert reader.read_lines() == []


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("few\n")

    LogReader(log).limit()

    assert log.read_text() == "few\n"
