from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from celeriac.core.state import ErrorKind
from celeriac.core.task import TaskId
from celeriac.core.trouble import Trouble
from celeriac.up.troubles import TroubleReader, Troubles, trouble_lines

URL = "http://127.0.0.1:8000"


def make_trouble(**changes: Any) -> Trouble:
    facts = Trouble(
        TaskId("one"), "shop.sell", 1, True, ErrorKind.EXCEPTION, "OSError", "no more stock"
    )
    return facts._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "shop.sell failed: OSError: no more stock"),
        # A folder of modules is no news.
        ({"type": "shop.Sold.Out", "message": ""}, "shop.sell failed: Out"),
        # One line, whatever the message holds.
        ({"message": "one\n  two"}, "shop.sell failed: OSError: one two"),
        # What the author tells a caller needs no class.
        ({"type": "Fail"}, "shop.sell failed: no more stock"),
        ({"attempt": 3}, "shop.sell failed after 3 attempts: OSError: no more stock"),
        (
            {"kind": ErrorKind.TIMEOUT, "type": "TimeLimitExceeded", "limit_seconds": 1.0},
            "shop.sell failed: stopped at its time limit of 1 s",
        ),
        (
            {
                "kind": ErrorKind.WORKER_LOST,
                "type": "",
                "message": "it died, 3 times",
                "attempt": 3,
            },
            "shop.sell failed: it died, 3 times",
        ),
    ],
)
def test_a_task_that_failed_is_one_line_and_the_address_of_its_page(
    changes: dict[str, Any], words: str
) -> None:
    line, address = trouble_lines(make_trouble(**changes), url=URL)

    assert line == f"! task       {words}"
    assert address.strip() == f"{URL}/ui/tasks/one"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            ErrorKind.EXCEPTION,
            "shop.sell is tried again after attempt 1: OSError: no more stock",
        ),
        (
            ErrorKind.WORKER_LOST,
            "shop.sell runs again: the process that ran it died (a crash, or no memory)",
        ),
    ],
)
def test_what_goes_on_by_itself_is_one_line(kind: ErrorKind, words: str) -> None:
    assert trouble_lines(make_trouble(kind=kind, is_final=False), url=URL) == (
        f"! task       {words}",
    )


def test_a_long_message_is_cut_off() -> None:
    line, _ = trouble_lines(make_trouble(message="x" * 1000), url=URL)

    assert len(line) < 200
    assert line.endswith("x…")


def test_of_a_flood_the_first_are_told_and_the_rest_is_counted() -> None:
    said: list[str] = []
    troubles = Troubles(said.append, url=URL)

    troubles.tell([make_trouble()] * 100, now=100.0)
    at_once = said.copy()
    troubles.tell([make_trouble()] * 7, now=101.0)
    soon = said[len(at_once) :]
    troubles.tell([], now=111.0)

    assert len(at_once) == 16
    assert soon == []
    assert said[-2] == "! task       99 more attempts went wrong; all tasks that failed:"
    assert said[-1].endswith(f"{URL}/ui/tasks?state=failed")


def test_what_an_earlier_start_wrote_is_not_told_again(tmp_path: Path) -> None:
    (tmp_path / "troubles.log").write_text(make_trouble().to_line() + "\n")

    reader = TroubleReader(tmp_path)
    before = reader.read()
    reader.path.write_text(make_trouble().to_line() + "\nnothing that we wrote\n")

    assert before == []
    assert reader.read() == [make_trouble()]
