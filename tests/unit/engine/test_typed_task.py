from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from celery.app.task import Context
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from pydantic import BaseModel, Field

from celeriac import Fail, current, task
from celeriac.core.task import TaskId
from celeriac.engine.authoring import Current
from celeriac.engine.typed_task import TypedTask
from celeriac.errors import InvalidArgumentsError
from celeriac.ledger.open import open_ledger
from tests.engines import plain_app
from tests.servers.processes import PROJECT, clean_environment


class Report(BaseModel):
    name: str
    made_at: datetime


# What the task functions below were called with, in order.
calls: list[Any] = []


@task(name="unit.report", queue="cpu", timeout=timedelta(seconds=30), priority=9)
def report(name: str, made_at: datetime, copies: list[int] | None = None) -> Report:
    """Make a report."""
    calls.append((name, made_at, copies))
    return Report(name=name, made_at=made_at)


@task(bind=True, name="unit.steps")
def steps(self: Any, depth: Any, count: int) -> int:
    calls.append((depth, count))
    return 0 if depth == 0 else self(depth - 1, str(count))


@task(name="unit.fragile", retries=2, retry_pause=timedelta(0))
def fragile(kind: str) -> None:
    calls.append(current().attempt)
    raise {
        "error": ConnectionError("away"),
        "fail": Fail("never"),
        "limit": SoftTimeLimitExceeded(),
        "ignore": Ignore(),
    }[kind]


@task(name="unit.awaited")
async def awaited(x: int) -> int:
    return x + 1


@task(name="unit.once", at_most_once=True, throws=(KeyError,))
def once() -> None: ...


@task
def unnamed() -> None: ...


@task(name="unit.model")
def take(given: Report) -> str:
    return given.name


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def app() -> Iterator[Celery]:
    calls.clear()
    with plain_app(backend="cache+memory://") as made:
        made.conf.update(task_always_eager=True, accept_content=["json"])
        made.finalize()
        yield made


def test_a_plain_call_is_the_function_itself() -> None:
    copies = [1]

    made = report("a", MOMENT, copies)

    assert made == Report(name="a", made_at=MOMENT)
    # The very list: nothing was converted on the way.
    assert calls[0][2] is copies


def test_a_worker_gives_the_function_what_its_hints_say() -> None:
    outcome = report.apply(args=["a"], kwargs={"made_at": "2026-01-01T00:00:00Z"})

    assert outcome.state == "SUCCESS"
    assert calls == [("a", MOMENT, None)]


def test_arguments_that_do_not_fit_never_reach_the_function() -> None:
    outcome = report.apply(args=["a"], kwargs={"made_at": "soon"})

    assert isinstance(outcome.result, InvalidArgumentsError)
    assert [each.pointer for each in outcome.result.problems] == ["/made_at"]
    assert calls == []


def test_submit_refuses_what_does_not_fit_before_it_sends_anything() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        report.submit("a", made_at="soon", size=1)  # type: ignore[arg-type, call-arg]

    assert [each.pointer for each in caught.value.problems] == ["/made_at", "/size"]
    assert calls == []


def test_submit_gives_celerys_handle() -> None:
    handle = report.submit("a", MOMENT)

    assert handle.successful()
    assert handle.id


def test_a_task_of_ours_has_an_id_that_begins_with_the_time_unless_it_was_given_one() -> None:
    made = [
        report.submit("a", MOMENT).id,
        report.delay("a", MOMENT).id,
        report.apply_async(["a", MOMENT]).id,
    ]

    assert [UUID(each).version for each in made] == [7, 7, 7]
    assert report.apply_async(["a", MOMENT], task_id="mine").id == "mine"
    assert report.apply_async(["a", MOMENT], None, "mine").id == "mine"


@pytest.mark.parametrize("send", ["delay", "submit", "s"])
def test_a_model_travels_as_its_json(send: str) -> None:
    given = Report(name="a", made_at=MOMENT)

    sent = getattr(take, send)(given)
    handle = sent.apply_async() if send == "s" else sent

    assert handle.result == "a"


def test_delay_says_what_celery_says_of_a_missing_argument() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        report.delay("a")


def test_a_task_that_calls_itself_plainly_is_told_apart() -> None:
    outcome = steps.apply(args=[2, "3"])

    assert outcome.state == "SUCCESS"
    # Converted once, by the worker; the plain calls get what they were given.
    assert calls == [(2, 3), (1, "3"), (0, "3")]


@pytest.mark.parametrize(
    ("kind", "attempts", "state"),
    [
        # An ordinary exception: once, and twice again.
        ("error", [1, 2, 3], "FAILURE"),
        # Its author knows that no other try will help.
        ("fail", [1], "FAILURE"),
        # What was too slow once is not made slower still.
        ("limit", [1], "FAILURE"),
        # Celery's own word passes.
        ("ignore", [1], "IGNORED"),
    ],
)
def test_only_an_ordinary_exception_is_tried_again(
    kind: str, attempts: list[int], state: str
) -> None:
    outcome = fragile.apply(args=[kind])

    assert calls == attempts
    assert outcome.state == state


def test_an_exception_ends_a_task_that_names_no_retries() -> None:
    @task(name="unit.brittle")
    def brittle() -> None:
        raise ConnectionError("away")

    outcome = brittle.apply()

    assert isinstance(outcome.result, ConnectionError)


@pytest.mark.parametrize(("most", "attempts"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 3, 4, 5])])
def test_who_submits_a_task_may_say_how_often_it_is_tried(
    monkeypatch: pytest.MonkeyPatch, most: int, attempts: list[int]
) -> None:
    # As a worker puts it there from the ledger's row.
    monkeypatch.setattr(Context, "max_attempts", most, raising=False)

    fragile.apply(args=["error"])

    assert calls == attempts


def test_bad_arguments_are_not_tried_again() -> None:
    outcome = fragile.apply(args=[1])

    assert outcome.state == "FAILURE"
    assert calls == []


def test_the_pause_before_a_retry_doubles_and_is_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    @task(name="unit.patient", retries=3, retry_pause=timedelta(seconds=10))
    def patient() -> None:
        raise ConnectionError

    def retry(*, exc: Exception, countdown: float, max_retries: int) -> None:
        pauses.append(countdown)
        raise exc

    monkeypatch.setattr(patient, "retry", retry)
    for retries in range(3):
        patient.apply(retries=retries)

    assert 5 <= pauses[0] <= 15
    assert 10 <= pauses[1] <= 30
    assert 20 <= pauses[2] <= 60


def test_an_async_function_runs_to_its_end() -> None:
    assert awaited.apply(args=[1]).result == 2


def test_a_task_carries_its_options_in_celerys_words(app: Celery) -> None:
    made = app.tasks["unit.report"]

    assert isinstance(made, TypedTask)
    assert (made.queue, made.priority, made.time_limit) == ("cpu", 9, 30)
    assert made.acks_late
    assert not made.at_most_once
    assert made.throws == (Fail, InvalidArgumentsError)


def test_a_task_that_runs_at_most_once_says_so_in_celerys_words(app: Celery) -> None:
    made = app.tasks["unit.once"]

    assert made.at_most_once
    assert not made.acks_late
    assert made.throws == (Fail, InvalidArgumentsError, KeyError)


def test_a_task_without_options_is_named_after_its_function(app: Celery) -> None:
    assert f"{__name__}.unnamed" in app.tasks


def test_a_result_is_dumped_by_its_hint() -> None:
    dumped = report.dump_result(Report(name="a", made_at=MOMENT))

    assert dumped == {"name": "a", "made_at": "2026-01-01T00:00:00Z"}


def test_a_class_written_by_hand_is_checked_as_well(app: Celery) -> None:
    class Double(TypedTask[..., int]):
        name = "unit.double"

        def run(self, x: int) -> int:
            return 2 * x

    double = app.register_task(Double())

    assert double.apply(args=["2"]).result == 4
    assert double.apply(args=["two"]).state == "FAILURE"


def test_current_is_a_first_attempt_outside_a_worker() -> None:
    assert current() == Current(id="", name="", attempt=1)  # type: ignore[arg-type]


def test_current_names_the_task_in_a_worker() -> None:
    @task(name="unit.who")
    def who() -> list[Any]:
        return [current().id, current().name]

    outcome = who.apply(task_id="an id")

    assert outcome.result == ["an id", "unit.who"]


def some(width: int = Field(256, ge=16)) -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retires": 3}, "unknown option: retires"),
        ({"retries": -1}, "retries of .* is not 0 or more"),
        ({"base": object}, "must be a TypedTask"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        task(**options)(unnamed.run)


def test_a_field_as_a_default_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(TypeError, match=r"width: Annotated\[TYPE, Field"):
        task(some)


@pytest.mark.parametrize("way", ["submit", "delay"])
def test_a_script_that_imports_its_tasks_alone_submits_to_the_ledger_of_its_folder(
    tmp_path: Path, way: str
) -> None:
    (tmp_path / "hello.py").write_text(
        "from celeriac import task\n\n@task(name='hello.greet')\ndef greet(name): return name\n"
    )
    script = f"from hello import greet; print(greet.{way}('Ada').id, greet.{way}('Bo').id)"

    made = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=clean_environment({"CELERIAC_BROKER_URL": "memory://", "PYTHONPATH": str(PROJECT)}),
        capture_output=True,
        text=True,
        check=True,
    )

    ids = made.stdout.split()
    ledger = open_ledger(f"sqlite:///{tmp_path / '.celeriac' / 'ledger.db'}")
    assert [ledger.tasks.get(TaskId(each)).name for each in ids] == ["hello.greet"] * 2
    ledger.close()
