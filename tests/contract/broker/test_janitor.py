from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from celeriac.core.acceptance import Reservation, Submission, WantedTask
from celeriac.core.state import TaskState
from celeriac.core.task import NewTask, TaskId
from celeriac.engine.broker import BrokerView
from celeriac.engine.janitor import Janitor, Leadership
from celeriac.engine.ringer import Ringer
from celeriac.errors import BrokerUnavailableError, LedgerUnavailableError, UnavailableError
from celeriac.ledger.leadership import NOBODY
from celeriac.ledger.open import Ledger
from tests.contract.broker.conftest import Monotonic
from tests.engines import make_arguments
from tests.fakes import AwayLedger, make_new_worker
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer


@pytest.fixture
def first() -> Leadership:
    return Leadership("first")


@pytest.fixture
def second() -> Leadership:
    return Leadership("second")


def test_whoever_comes_first_leads(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    assert first.is_mine(ledger, clock.now)
    assert not second.is_mine(ledger, clock.now)


def test_a_leader_that_lives_is_never_followed(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    for _ in range(20):
        clock.advance(1.0)
        assert first.is_mine(ledger, clock.now)
        assert not second.is_mine(ledger, clock.now)


def test_a_leader_that_stands_still_is_followed_by_another(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    first.is_mine(ledger, clock.now)

    led = []
    for _ in range(7):
        led.append(second.is_mine(ledger, clock.now))
        clock.advance(1.0)

    assert led == [False] * 5 + [True] * 2


def test_a_leader_that_was_followed_learns_it(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    first.is_mine(ledger, clock.now)
    for _ in range(6):
        second.is_mine(ledger, clock.now)
        clock.advance(1.0)

    assert not first.is_mine(ledger, clock.now)
    assert second.is_mine(ledger, clock.now)


def test_whoever_could_not_look_for_a_while_does_not_take_over(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    first.is_mine(ledger, clock.now)
    second.is_mine(ledger, clock.now)

    clock.advance(60.0)

    assert not second.is_mine(ledger, clock.now)


def test_a_leader_that_resigns_is_followed_at_once(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    first.is_mine(ledger, clock.now)

    first.resign(ledger)
    second.resign(ledger)

    assert ledger.sweeps.leadership("janitor").holder == NOBODY.holder
    clock.advance(1.0)
    assert second.is_mine(ledger, clock.now)


def test_whoever_is_not_fit_leaves_a_vacant_lead_to_others_for_some_time(
    first: Leadership, second: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    first.is_mine(ledger, clock.now)
    first.resign(ledger)

    led = []
    for _ in range(7):
        clock.advance(1.0)
        led.append(first.is_mine(ledger, clock.now, is_fit=False))
    assert led == [False] * 5 + [True] * 2

    first.resign(ledger)
    clock.advance(1.0)
    assert not first.is_mine(ledger, clock.now, is_fit=False)
    assert second.is_mine(ledger, clock.now)


def test_the_ledger_is_asked_once_a_second_at_most(
    first: Leadership, ledger: Ledger, clock: Monotonic
) -> None:
    first.is_mine(ledger, clock.now)
    before = ledger.sweeps.leadership("janitor")

    for _ in range(4):
        clock.advance(0.2)
        assert first.is_mine(ledger, clock.now)

    assert ledger.sweeps.leadership("janitor") == before


def _insert(ledger: Ledger, task_id: str, **facts: object) -> None:
    row = NewTask(id=TaskId(task_id), name="add", arguments=make_arguments(), **facts)  # type: ignore[arg-type]
    ledger.tasks.insert([row])


def _state(ledger: Ledger, task_id: str) -> TaskState:
    return ledger.tasks.get(task_id).state


def test_the_janitor_does_its_rounds_and_leaves_the_lead_to_others(
    app: Celery, ledger: Ledger, valkey: ValkeyServer
) -> None:
    now = datetime.now(UTC)
    _insert(ledger, "due", not_before=now + timedelta(milliseconds=200))
    _insert(ledger, "later", not_before=now + timedelta(hours=1))
    _insert(ledger, "too late", expires_at=now)
    _insert(ledger, "orphan", is_waiting=True, upstream_id="nobody")
    janitor = Janitor(app)

    janitor.start()
    wait_until(lambda: _state(ledger, "due") is TaskState.QUEUED, "it is promoted", seconds=5)
    wait_until(lambda: _state(ledger, "orphan") is TaskState.FAILED, "it is failed", seconds=5)
    janitor.stop()

    assert _state(ledger, "later") is TaskState.SCHEDULED
    assert _state(ledger, "too late") is TaskState.EXPIRED
    assert valkey.client().exists("celery-task-meta-too late")
    assert ledger.sweeps.leadership("janitor").holder == ""


def test_a_leader_that_lost_its_broker_lets_another_lead_who_rings_for_everything(
    app: Celery, ledger: Ledger, valkey: ValkeyServer, clock: Monotonic
) -> None:
    Ringer(app.celeriac, BrokerView(app), clock).ring(ledger)
    _insert(ledger, "a")
    valkey.kill()
    lost = Janitor(app, monotonic=clock)

    def holder() -> str:
        return ledger.sweeps.leadership("janitor").holder

    lost.start()
    wait_until(holder, "it leads", seconds=5)
    time.sleep(0.5)
    assert holder()
    clock.advance(20.0)
    wait_until(lambda: not holder(), "it resigns", seconds=5)
    lost.stop()
    valkey.start()
    other = Janitor(app)
    other.start()
    wait_until(lambda: valkey.client().keys("default*"), "it is rung for", seconds=5)
    other.stop()


def test_the_janitor_forgets_what_was_reserved_and_is_over(app: Celery, ledger: Ledger) -> None:
    def reserve(name: str, lifetime: timedelta) -> None:
        row = NewTask(id=TaskId(name), name="add", arguments=make_arguments())
        once = Reservation(id=f"{name:0>64}", lifetime=lifetime)
        ledger.submissions.accept([Submission(tasks=[WantedTask(task=row)], once=once)])

    def count() -> int:
        with ledger._database.engine.connect() as connection:
            return len(connection.exec_driver_sql("SELECT id FROM reservations").fetchall())

    reserve("a", timedelta(milliseconds=1))
    reserve("b", timedelta(days=1))
    janitor = Janitor(app)

    janitor.start()
    wait_until(lambda: count() == 1, "one of them is forgotten", seconds=20)
    janitor.stop()

    assert count() == 1


def test_a_janitor_goes_on_after_a_turn_that_failed(
    app: Celery, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []

    class Stumbling(Janitor):
        def _turn(self, *_: object) -> None:
            turns.append("turn")
            if len(turns) == 1:
                raise RuntimeError("of a kind that nobody expects")
            if len(turns) == 2:
                _ = AwayLedger().tasks

    janitor = Stumbling(app)

    janitor.start()
    wait_until(lambda: len(turns) >= 3, "a third turn", seconds=5)
    janitor.stop()


class Stumbling(Janitor):
    """A janitor whose every fifth turn fails, and whose turns are a second each by its clock."""

    def __init__(self, app: Celery, error: UnavailableError) -> None:
        self.turns = 0
        self._error = error
        super().__init__(app, monotonic=lambda: float(self.turns))

    def _turn(self, *given: Any) -> None:
        self.turns += 1
        if self.turns % 5 == 0:
            raise self._error
        super()._turn(*given)


def test_a_worker_is_given_time_after_a_ledger_that_was_away(app: Celery, ledger: Ledger) -> None:
    ledger.leases.join(make_new_worker())
    janitor = Stumbling(app, LedgerUnavailableError("away"))

    janitor.start()
    wait_until(lambda: janitor.turns >= 25, "it has looked for longer than a lease", seconds=30)
    janitor.stop()

    assert len(ledger.leases.workers()) == 1


def test_a_broker_that_is_away_keeps_no_dead_worker(app: Celery, ledger: Ledger) -> None:
    ledger.leases.join(make_new_worker())
    janitor = Stumbling(app, BrokerUnavailableError("away"))

    janitor.start()
    wait_until(lambda: not ledger.leases.workers(), "it is given up", seconds=30)
    janitor.stop()


def test_a_process_has_one_janitor(app: Celery, ledger: Ledger) -> None:
    engine = app.celeriac

    engine.start_background()
    engine.start_background()
    wait_until(lambda: ledger.sweeps.leadership("janitor").holder, "it leads", seconds=5)
    engine.stop_background()
    engine.stop_background()

    assert ledger.sweeps.leadership("janitor").holder == ""
