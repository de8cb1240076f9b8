from __future__ import annotations

from typing import Any

import pytest

from celeriac.engine.pool import line as line_module
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.line import Line
from tests.engines import make_claimed


class Rooms:
    """A runner as far as a line asks it."""

    def __init__(self, plain: int, interleaved: int = 0) -> None:
        self.plain = plain
        self.interleaved = interleaved

    def room(self) -> int:
        return self.plain

    def async_room(self, wanted: int) -> int:
        return self.interleaved


def make_job(task_id: str, *, is_async: bool = False, **changes: Any) -> Job:
    claimed = make_claimed("add", task_id=task_id, **changes)
    return Job(claimed, None, soft_seconds=None, hard_seconds=None, is_async=is_async)


def take(line: Line, rooms: Rooms, *, running: int = 0) -> list[str]:
    return [job.id for job in line.take(rooms, running)]  # type: ignore[arg-type] # as far as asked


def line_of(*jobs: Job) -> Line:
    line = Line()
    for job in jobs:
        line.put(job)
    return line


def test_as_many_leave_as_there_is_room_for_in_the_order_of_coming() -> None:
    line = line_of(make_job("a"), make_job("b"), make_job("c"))

    assert take(line, Rooms(2)) == ["a", "b"]
    assert take(line, Rooms(0)) == []
    assert take(line, Rooms(2)) == ["c"]


def test_plain_and_async_jobs_do_not_wait_for_one_another() -> None:
    line = line_of(make_job("a"), make_job("b", is_async=True), make_job("c"))

    assert take(line, Rooms(0, 5)) == ["b"]
    assert take(line, Rooms(5, 0)) == ["a", "c"]


def test_what_comes_back_is_next_again() -> None:
    line = line_of(make_job("c"))

    line.put_back([make_job("a"), make_job("b")])

    assert take(line, Rooms(9)) == ["a", "b", "c"]


def test_a_suspect_begins_when_nothing_else_runs_and_nothing_begins_beside_it() -> None:
    suspect = make_job("suspect", crashes=2)
    line = line_of(make_job("a"), suspect, make_job("b", is_async=True))

    assert line.is_quarantine
    assert take(line, Rooms(2, 2), running=1) == []
    assert take(line, Rooms(2, 2)) == ["suspect"]
    assert line.is_quarantine
    assert take(line, Rooms(1, 2), running=1) == []
    line.ended(suspect)
    assert not line.is_quarantine
    assert take(line, Rooms(2, 2)) == ["a", "b"]


def test_two_suspects_run_one_after_the_other() -> None:
    first, second = make_job("a", crashes=2), make_job("b", crashes=2, is_async=True)
    line = line_of(first, second)

    assert take(line, Rooms(2, 2)) == ["a"]
    assert take(line, Rooms(1, 2), running=1) == []
    line.ended(first)
    assert take(line, Rooms(2, 0)) == []
    assert take(line, Rooms(2, 2)) == ["b"]


def test_a_suspect_that_comes_back_unbegun_is_next_again() -> None:
    suspect = make_job("a", crashes=2)
    line = line_of(suspect)
    assert take(line, Rooms(1)) == ["a"]

    line.put_back([suspect])

    assert take(line, Rooms(1)) == ["a"]


def test_a_suspect_waits_for_long_tasks_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("celeriac.engine.pool.line.time.monotonic", lambda: now[0])
    line = line_of(make_job("a", crashes=2))
    assert take(line, Rooms(1), running=1) == []

    now[0] += line_module._PATIENCE_SECONDS

    assert take(line, Rooms(1), running=1) == ["a"]


@pytest.mark.parametrize(
    ("crashes", "most", "is_suspect"),
    [
        # It has never been near a crash, or may have been by chance.
        (0, 3, False),
        (1, 3, False),
        # The next one would be its last.
        (2, 3, True),
        (1, 2, True),
        # It has been near two, however many it may have.
        (2, 10, True),
        # One is all that it may have, and it has not had it.
        (0, 1, False),
    ],
)
def test_a_suspect_is_whoever_would_not_survive_another_charge(
    *, crashes: int, most: int, is_suspect: bool
) -> None:
    assert make_job("a", crashes=crashes, max_crashes=most).is_suspect is is_suspect


def test_what_is_held_up_is_cleared_but_for_the_suspect_that_is_next() -> None:
    first, second = make_job("first", crashes=2), make_job("second", crashes=2)
    line = line_of(make_job("a"), first, make_job("c", is_async=True), second)

    assert [job.id for job in line.clear_held_up()] == ["second", "a", "c"]
    assert take(line, Rooms(2, 2)) == ["first"]


def test_a_suspect_waits_for_another_one_at_some_other_worker() -> None:
    first, second = make_job("first", crashes=2), make_job("second", crashes=2)
    line = line_of(first, second)
    take(line, Rooms(2, 2))

    assert [job.id for job in line.clear_held_up()] == ["second"]
    assert line.is_quarantine


def test_a_job_is_taken_out_once() -> None:
    job = make_job("a")
    line = line_of(job)

    assert line.remove(job)
    assert not line.remove(job)
