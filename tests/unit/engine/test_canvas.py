from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, group

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskError, TaskId
from celeriac.engine import codec
from celeriac.engine.canvas import CALL_ERRBACKS, FIRE_CHORD, fire_chord
from celeriac.engine.executor import Executor
from celeriac.ledger.open import Ledger
from tests.engines import make_claimed, open_app
from tests.fakes import make_new_worker, open_test_ledger


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    open_test_ledger(tmp_path).close()
    with open_app(tmp_path) as made:

        @made.task(name="add")
        def add(numbers: Any) -> Any:
            return sum(numbers)

        @made.task(name="clean_up")
        def clean_up(task_id: str) -> None:
            """Be an errback that is sent, as one with a single argument is."""

        yield made


@pytest.fixture
def ledger(app: Celery) -> Ledger:
    ledger: Ledger = app.celeriac.ledger
    ledger.leases.join(make_new_worker())
    return ledger


def _send(app: Celery, body: Any) -> str:
    """Send a chord of two parts, called a and b, and return its id."""
    add = app.tasks["add"]
    header = [add.s([1]).set(task_id="a"), add.s([2]).set(task_id="b")]
    result = chord(header, body).apply_async()
    assert result.parent is not None
    return str(result.parent.id)


def _end(ledger: Ledger, task_id: str, ending: Ending, **facts: Any) -> None:
    """Have a worker run a task to an end."""
    exchange = ledger.leases.exchange(
        "worker-1", outcomes=[], wanted=[TaskId(task_id)], queues=["default"]
    )
    (claimed,) = exchange.claimed
    outcome = Outcome(
        task_id=claimed.id,
        lease_token=claimed.lease_token,
        ending=ending,
        finished_at=ledger.tasks.get(task_id).created_at,
        **facts,
    )
    ledger.leases.exchange("worker-1", outcomes=[outcome], wanted=[], queues=[])


def _fire(app: Celery, chord_id: str) -> Outcome:
    executor = Executor(app, hostname="celery@host")
    outcome, _ = executor.run(
        make_claimed(FIRE_CHORD, chord_id, task_id=f"{chord_id}:fire", ignore_result=True)
    )
    return outcome


ERROR = TaskError(kind=ErrorKind.EXCEPTION, type="ValueError", message="blue")


def test_a_fired_chord_sends_its_body_with_the_headers_results_in_order(
    app: Celery, ledger: Ledger
) -> None:
    chord_id = _send(app, app.tasks["add"].s().set(task_id="body"))
    _end(ledger, "b", Ending.COMPLETED, result="2")
    _end(ledger, "a", Ending.COMPLETED, result="1")

    outcome = _fire(app, chord_id)

    (body,) = outcome.continuations
    assert outcome.ending is Ending.COMPLETED
    assert (body.id, body.is_waiting) == ("body", False)
    assert codec.load_arguments(body.arguments) == ([[1, 2]], {})


def test_a_part_without_a_kept_result_counts_as_none(app: Celery, ledger: Ledger) -> None:
    chord_id = _send(app, app.tasks["add"].s().set(task_id="body"))
    _end(ledger, "a", Ending.COMPLETED)
    _end(ledger, "b", Ending.COMPLETED, result="2")

    outcome = _fire(app, chord_id)

    assert codec.load_arguments(outcome.continuations[0].arguments) == ([[None, 2]], {})


def test_a_chord_with_a_failed_part_fails_as_in_celery(app: Celery, ledger: Ledger) -> None:
    chord_id = _send(app, app.tasks["add"].s().set(task_id="body"))
    _end(ledger, "a", Ending.COMPLETED, result="1")
    _end(ledger, "b", Ending.FAILED, error=ERROR)

    outcome = _fire(app, chord_id)

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "ChordError"
    assert outcome.error.message == "Dependency b raised ValueError('blue')"
    assert outcome.continuations == ()


def test_a_chord_with_a_cancelled_part_says_so(app: Celery, ledger: Ledger) -> None:
    chord_id = _send(app, app.tasks["add"].s().set(task_id="body"))
    _end(ledger, "a", Ending.COMPLETED, result="1")
    ledger.tasks.request_cancel("b")

    outcome = _fire(app, chord_id)

    assert outcome.error is not None
    assert outcome.error.message == "Dependency b raised cancelled"


def test_a_failed_chord_calls_every_errback_of_its_body_once(app: Celery, ledger: Ledger) -> None:
    clean_up, add = app.tasks["clean_up"], app.tasks["add"]
    body = group(
        add.s().set(task_id="one").on_error(clean_up.s().set(task_id="for one")),
        add.s().set(task_id="two").on_error(clean_up.s().set(task_id="for two")),
    )
    chord_id = _send(app, body)
    _end(ledger, "a", Ending.FAILED, error=ERROR)
    _end(ledger, "b", Ending.COMPLETED, result="2")

    outcome = _fire(app, chord_id)

    called = {str(each.id): codec.load_arguments(each.arguments) for each in outcome.continuations}
    assert outcome.ending is Ending.FAILED
    assert called == {"for one": (["one"], {}), "for two": (["two"], {})}


def test_a_chord_that_nobody_made_fails(app: Celery, ledger: Ledger) -> None:
    outcome = _fire(app, "nobody's")

    assert outcome.error is not None
    assert outcome.error.type == "LookupError"


def test_a_chord_is_fired_by_a_worker_only(app: Celery, ledger: Ledger) -> None:
    chord_id = _send(app, app.tasks["add"].s().set(task_id="body"))
    for each in "ab":
        _end(ledger, each, Ending.COMPLETED, result="1")

    with pytest.raises(RuntimeError, match="by a worker"):
        fire_chord(app, chord_id)

    assert ledger.tasks.get("body").state is TaskState.WAITING


def test_the_ledger_inserts_the_task_that_fires_a_chord(app: Celery, ledger: Ledger) -> None:
    chord_id = _send(app, app.tasks["add"].s().set(task_id="body"))
    for each in "ab":
        _end(ledger, each, Ending.COMPLETED, result="1")

    firing = ledger.tasks.get(f"{chord_id}:fire")

    assert (firing.name, firing.state) == (FIRE_CHORD, TaskState.QUEUED)
    assert codec.load_arguments(firing.arguments) == ([chord_id], {})


def test_the_errbacks_of_a_task_that_was_killed_are_called_with_its_id(
    app: Celery, ledger: Ledger
) -> None:
    errback = app.tasks["clean_up"].s().set(task_id="errback")
    app.tasks["add"].apply_async(([1],), task_id="a", link_error=errback)
    _end(ledger, "a", Ending.FAILED, error=ERROR, needs_errbacks=True)

    outcome, _ = Executor(app, hostname="h").run(make_claimed(CALL_ERRBACKS, "a", task_id="calls"))

    (called,) = outcome.continuations
    assert outcome.ending is Ending.COMPLETED
    assert called.id == "errback"
    assert codec.load_arguments(called.arguments) == (["a"], {})


def test_two_apps_of_one_process_fire_their_own_chords(tmp_path: Path, app: Celery) -> None:
    with open_app(tmp_path / "other") as other:
        other.finalize()

        assert other.tasks[FIRE_CHORD].app is other
        assert app.tasks[FIRE_CHORD].app is app
