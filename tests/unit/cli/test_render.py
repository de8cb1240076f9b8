from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli.durations import DURATION
from celeriac.cli.key_texts import key_facts, key_state, key_table
from celeriac.cli.render import (
    age_text,
    ended_line,
    progress_text,
    submitted_line,
    task_lines,
    task_table,
    trail_lines,
    watch_line,
)
from celeriac.cli.task_type_texts import task_type_lines, task_type_table
from celeriac.client import RemoteTask
from celeriac.core.api_key import ApiKey
from celeriac.core.user import Scope
from tests.fakes import NOON, process_type

TRAIL = [
    {"file": "/srv/shop/tasks.py", "line": 3, "function": "report"},
    {"file": "/srv/shop/tasks.py", "line": 9, "function": ""},
]
NOW = NOON + timedelta(seconds=90)
SRV = Path("/srv")


def remote(**changes: Any) -> RemoteTask:
    body = {
        "task_id": "t1",
        "name": "process",
        "state": "queued",
        "queue": "default",
        "priority": 5,
        "attempt": 0,
        "created_at": NOON.isoformat(),
        **changes,
    }
    return RemoteTask.from_body(body)


def ended(state: str, **changes: Any) -> RemoteTask:
    finished_at = (NOON + timedelta(seconds=3)).isoformat()
    return remote(state=state, attempt=1, finished_at=finished_at, **changes)


FAILED = ended(
    "failed",
    max_attempts=3,
    error={"kind": "exception", "type": "ValueError", "message": "line one\nline " + "x" * 99},
)


def test_a_list_is_whole_and_with_tabs_for_a_program() -> None:
    heads, row = task_table([FAILED], now=NOW, is_for_people=False)

    assert heads == "ID\tTASK\tSTATE\tQUEUE\tATTEMPT\tAGE\tERROR"
    cells = row.split("\t")
    assert cells[:5] == ["t1", "process", "failed", "default", "1/3"]
    assert cells[5] == "90s"
    assert DURATION.convert(cells[5], None, None) == NOW - NOON
    assert cells[6].endswith("x" * 99)


def test_a_list_is_aligned_and_short_for_people() -> None:
    heads, row = task_table([FAILED], now=NOW, is_for_people=True)

    assert heads.index("STATE") == row.index("failed")
    assert "90 s" in row
    assert len(row) < 120


def test_a_task_tells_only_what_there_is_to_tell() -> None:
    waiting = task_lines(remote(waiting_because="no_worker_listens"), now=NOW, folder=SRV)
    failed = task_lines(FAILED, now=NOW, folder=SRV)

    assert "  waiting   no worker serves this queue" in waiting
    assert not any("error" in line or "took" in line for line in waiting)
    assert any(line.startswith("  error     ValueError: line one line") for line in failed)
    assert "  took      3.0 s" in failed


def test_a_task_that_failed_tells_the_line_of_its_own_function() -> None:
    error = {"kind": "exception", "type": "ZeroDivisionError", "message": "no", "trail": TRAIL}
    task = ended("failed", error=error)

    shown = task_lines(task, now=NOW, folder=SRV)

    assert shown[-2:] == [
        "  where     shop/tasks.py:3 in report",
        "            shop/tasks.py:9",
    ]
    assert trail_lines(task.trail, folder=Path("/home"))[0] == "/srv/shop/tasks.py:3 in report"


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("no_worker_listens", "celery -A APP worker -Q 'our reports'"),
        ("queue_paused", "celeriac queues resume 'our reports'"),
        ("no_worker_knows_it", "start the workers again with the code that has it; celeriac "),
        # It ends by itself.
        ("workers_busy", ""),
    ],
)
def test_a_wait_without_end_is_told_with_what_ends_it(reason: str, fix: str) -> None:
    lines = task_lines(remote(waiting_because=reason, queue="our reports"), now=NOW, folder=SRV)

    said = [line for line in lines if line.startswith("  fix ")]
    assert [line[: 12 + len(fix)] for line in said] == ([f"  fix       {fix}"] if fix else [])


def test_what_was_submitted_is_told_with_where_it_waits() -> None:
    assert submitted_line(remote()) == "t1  process  queued in default"
    scheduled = remote(state="scheduled", waiting_because="scheduled")
    assert submitted_line(scheduled).endswith("scheduled in default (its time has not come)")


def test_a_running_task_is_shown_with_its_progress() -> None:
    task = remote(
        state="running",
        attempt=1,
        max_attempts=3,
        started_at=NOON.isoformat(),
        worker="worker-2",
        progress={"done": 32, "total": 50, "message": "resizing"},
    )

    line = watch_line(task, now=NOON + timedelta(seconds=0.8))

    assert line == "running  ████████████░░░░░░  64%  resizing  worker-2  attempt 1/3  0.8 s"


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "told"),
    [(1, 1, ""), (1, 2, "attempt 1/2  "), (1, None, ""), (2, None, "attempt 2  ")],
)
def test_an_attempt_is_told_where_there_may_be_others(
    attempt: int, max_attempts: int | None, told: str
) -> None:
    task = remote(
        state="running", attempt=attempt, max_attempts=max_attempts, started_at=NOON.isoformat()
    )

    assert watch_line(task, now=NOON) == f"running  {told}0.0 s"


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (None, "(every worker of this queue is busy)"),
        (0, "(0 ahead; every worker of this queue is busy)"),
        (1000, "(1000 ahead; every worker of this queue is busy)"),
        (1001, "(more than 1,000 ahead; every worker of this queue is busy)"),
    ],
)
def test_a_task_that_waits_tells_how_many_go_before_it(count: int | None, told: str) -> None:
    task = remote(queued_before=count, waiting_because="workers_busy")

    assert watch_line(task, now=NOON) == f"queued in default {told}  0.0 s"
    shown = [line.split()[1:] for line in task_lines(task, now=NOW, folder=SRV) if "ahead" in line]
    ahead = told.strip("(").partition(" ahead;")[0].split()
    assert shown == ([] if count is None else [ahead])


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (None, ""),
        # Celery's own update_state may hold anything.
        ("half", ""),
        ({"done": "x", "message": "odd"}, "odd"),
        ({"done": 3, "total": None, "message": "pages"}, "3  pages"),
        ({"done": 3, "total": 0, "message": ""}, "3"),
        ({"done": 9, "total": 3, "message": ""}, "█" * 18 + " 100%"),
        ({"done": True, "total": 3}, ""),
    ],
)
def test_progress_is_shown_as_far_as_it_makes_sense(progress: Any, text: str) -> None:
    assert progress_text(progress) == text


def test_an_end_is_told_with_its_error() -> None:
    assert ended_line(ended("completed")) == "completed after 3.0 s"
    assert ended_line(FAILED).startswith("failed after 3.0 s: ValueError: line one line")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.25, "0.2 s"), (59, "59 s"), (119, "119 s"), (120, "2 m"), (7200, "2 h")],
)
def test_an_age_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert age_text(timedelta(seconds=seconds)) == text


def test_task_types_show_which_arguments_may_be_left_out() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}

    _, row = task_type_table([process_type(schema=schema)], is_for_people=False)

    assert row == "process\tdefault\ta [b]\tProcess some text"


def test_a_task_type_shows_what_each_argument_is() -> None:
    properties = {
        "n": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many"},
        "mode": {"enum": ["fit", "fill"], "default": "fit"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "big": {"type": "integer", "maximum": 5_000_000},
        "share": {"type": "number", "exclusiveMaximum": 0.5},
    }
    schema = {"properties": properties, "required": ["n"]}

    lines = task_type_lines(process_type(schema=schema, description="More."))

    assert "  More." in lines
    assert "  n            integer from 1 to 9, required  How many" in lines
    assert '  mode         "fit" | "fill", default "fit"' in lines
    assert "  maybe        string | null, default null" in lines
    assert "  big          integer to 5000000, default null" in lines
    assert "  share        number below 0.5, default null" in lines
    assert lines[-1] == "  celeriac submit process n=… --watch"


def test_a_list_is_described_with_what_is_in_it_and_how_it_is_given() -> None:
    properties = {
        "numbers": {"type": "array", "items": {"type": "number"}},
        "some": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
        "bare": {"type": "array"},
    }

    lines = task_type_lines(
        process_type(schema={"properties": properties, "required": ["numbers"]})
    )

    assert "  numbers      list of numbers, required" in lines
    assert "  some         list, default null" in lines
    assert "  bare         list, default null" in lines
    assert lines[-1] == "  celeriac submit process numbers=… numbers=… --watch"


def test_a_task_type_without_a_title_shows_its_name_once() -> None:
    bare = process_type(title="")

    (_, row), (first, *_) = task_type_table([bare], is_for_people=False), task_type_lines(bare)

    assert row == "process\tdefault\tdata\t"
    assert first == "process"


def test_a_file_is_described_as_one() -> None:
    image = {"type": "string", "format": "binary", "contentMediaType": "image/*"}
    any_file = {**image, "contentMediaType": "application/octet-stream"}
    schema = {
        "properties": {"image": image, "more": {"type": "array", "items": any_file}},
        "required": ["image"],
    }

    lines = task_type_lines(process_type(schema=schema))

    assert "  image        file image/*, required" in lines
    assert "  more         files, default null" in lines
    assert lines[-1] == "  celeriac submit process image=@FILE --watch"


def make_key(**changes: Any) -> ApiKey:
    facts: dict[str, Any] = {
        "id": "k1",
        "user": "ada",
        "label": "ci",
        "prefix": "ck_abcdefg",
        "scopes": frozenset({Scope.SUBMIT, Scope.READ}),
        "created_at": NOON,
        **changes,
    }
    return ApiKey(**facts)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires_at": NOON + timedelta(days=90)}, "expires in 90 d"),
        ({"expires_at": NOON}, "expired"),
        ({"revoked_at": NOON, "expires_at": NOON}, "revoked"),
    ],
)
def test_a_key_is_shown_with_its_state(changes: dict[str, Any], state: str) -> None:
    key = make_key(**changes)

    _, row = key_table([key], now=NOON, is_for_people=False)

    assert key_state(key, now=NOON) == state
    assert row == f"k1\tci\tck_abcdefg…\tread,submit\tall\t{state}\tnever"
    assert key_facts(key, now=NOON)["state"] == state
