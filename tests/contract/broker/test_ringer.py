from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celeriac.core.task import NewTask, TaskId
from celeriac.engine import publisher as publishing
from celeriac.engine import ringer as ringing
from celeriac.engine.broker import BrokerView
from celeriac.engine.ringer import Ringer
from celeriac.ledger.open import Ledger
from tests.contract.broker.conftest import Monotonic
from tests.engines import make_arguments
from tests.servers.valkey import ValkeyServer

KEYS = ("default", "default\x06\x163", "default\x06\x166", "default\x06\x169")


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the publisher try a broker again at once."""
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def view(app: Celery) -> Iterator[BrokerView]:
    made = BrokerView(app)
    yield made
    made.close()


@pytest.fixture
def ringer(app: Celery, view: BrokerView, clock: Monotonic) -> Ringer:
    return Ringer(app.celeriac, view, clock)


def _insert(ledger: Ledger, *task_ids: str, **facts: Any) -> None:
    """Put tasks into the ledger whose doorbells nobody rings."""
    ledger.tasks.insert(
        [
            NewTask(id=TaskId(each), name="add", arguments=make_arguments(), **facts)
            for each in task_ids
        ]
    )


def _rung(valkey: ValkeyServer) -> list[str]:
    """Return the ids of what lies in the broker, the first to be served first."""
    found: list[str] = []
    for key in KEYS:
        elements: Any = valkey.client().lrange(key, 0, -1)
        found += [json.loads(each)["headers"]["id"] for each in reversed(elements)]
    return found


def _take(valkey: ValkeyServer, count: int) -> None:
    """Take doorbells out, as a worker does."""
    for key in KEYS:
        while count and valkey.client().rpop(key):
            count -= 1


def test_a_broker_that_was_never_seen_is_rung_for_all_that_is_queued(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a", "b")

    ringer.ring(ledger)

    assert sorted(_rung(valkey)) == ["a", "b"]


def test_what_lies_in_the_broker_is_not_rung_again(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a", "b")
    ringer.ring(ledger)

    ringer.ring(ledger)

    assert sorted(_rung(valkey)) == ["a", "b"]


def test_a_doorbell_on_its_way_is_trusted_for_a_while(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a")
    ringer.ring(ledger)
    _take(valkey, 1)

    ringer.ring(ledger)

    assert _rung(valkey) == []


def test_a_wiped_broker_is_rung_again(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    _insert(ledger, "a", "b")
    ringer.ring(ledger)
    valkey.client().flushall()
    caplog.set_level("INFO", "celeriac")

    ringer.ring(ledger)

    assert sorted(_rung(valkey)) == ["a", "b"]
    assert "what waits is rung again" in caplog.text


def test_a_broker_that_was_killed_is_rung_again_when_it_is_back(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    _insert(ledger, "a")
    ringer.ring(ledger)
    valkey.kill()
    ringer.ring(ledger)
    ringer.ring(ledger)
    ringer.ring(ledger)
    valkey.start()

    ringer.ring(ledger)

    assert _rung(valkey) == ["a"]
    assert caplog.text.count("the broker is away") == 1


def test_a_broker_that_was_replaced_behind_the_ringers_back_is_rung_again(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a")
    ringer.ring(ledger)
    valkey.restart()

    # The first turn may find its connection cut.
    ringer.ring(ledger)
    ringer.ring(ledger)

    assert _rung(valkey) == ["a"]


def test_a_new_janitor_trusts_a_broker_that_another_one_knew(
    ringer: Ringer, app: Celery, view: BrokerView, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a")
    ringer.ring(ledger)
    _take(valkey, 1)

    Ringer(app.celeriac, view, Monotonic()).ring(ledger)

    assert _rung(valkey) == []


def test_a_new_janitor_sees_that_the_broker_was_wiped_before_its_time(
    ringer: Ringer, app: Celery, view: BrokerView, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a")
    ringer.ring(ledger)
    valkey.client().flushall()

    Ringer(app.celeriac, view, Monotonic()).ring(ledger)

    assert _rung(valkey) == ["a"]


def test_what_a_dead_worker_had_fetched_is_rung_again(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    _insert(ledger, "a")
    _insert(ledger, "elsewhere", queue="cpu")
    ringer.ring(ledger)
    _take(valkey, 1)
    valkey.client().delete("cpu\x06\x163")

    ringer.forget("default")
    ringer.ring(ledger)

    assert _rung(valkey) == ["a"]
    assert valkey.client().llen("cpu\x06\x163") == 0


def test_a_backlog_lies_in_the_broker_in_part_and_is_topped_up_by_priority(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringing, "_MOST_RUNG", 4)
    monkeypatch.setattr(ringing, "_RUNNING_SHORT", 2)
    _insert(ledger, *(f"low {number}" for number in range(6)), priority=0)
    _insert(ledger, *(f"high {number}" for number in range(3)), priority=9)

    ringer.ring(ledger)
    first = _rung(valkey)
    _take(valkey, 2)
    ringer.ring(ledger)
    at_half = _rung(valkey)
    _take(valkey, 1)
    ringer.ring(ledger)
    topped_up = _rung(valkey)

    assert first == ["high 0", "high 1", "high 2", "low 0"]
    assert at_half == ["high 2", "low 0"]
    assert topped_up == ["low 0", "low 1", "low 2", "low 3"]


def test_an_empty_ledger_rings_nothing(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    ringer.ring(ledger)

    assert _rung(valkey) == []
