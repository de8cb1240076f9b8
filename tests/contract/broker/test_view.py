from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from celeriac.core.task import Doorbell, TaskId
from celeriac.engine.broker import BrokerView, driver_of, is_redis
from tests.engines import open_app
from tests.servers.valkey import ValkeyServer


@pytest.fixture
def view(app: Celery) -> Iterator[BrokerView]:
    made = BrokerView(app)
    yield made
    made.close()


def _ring(app: Celery, *priorities: int) -> None:
    app.celeriac.publisher.ring(
        [
            Doorbell(task_id=TaskId(str(number)), name="add", queue="default", priority=each)
            for number, each in enumerate(priorities)
        ]
    )


def test_the_length_of_a_queue_counts_every_priority(app: Celery, view: BrokerView) -> None:
    _ring(app, 0, 3, 5, 5, 9)

    assert view.queue_length("default") == 5
    assert view.queue_length("another") == 0


def test_the_length_of_a_queue_is_known_within_one_process_too(tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        view = BrokerView(app)
        _ring(app, 1, 9)

        assert view.queue_length("default") == 2
        assert view.epoch() == view.epoch()
        view.close()


def test_an_epoch_lasts_as_long_as_the_data(app: Celery, view: BrokerView) -> None:
    first = view.epoch()
    _ring(app, 5)
    view.close()
    another = BrokerView(app)

    assert another.epoch() == view.epoch() == first
    another.close()


def test_a_wiped_broker_begins_a_new_epoch(view: BrokerView, valkey: ValkeyServer) -> None:
    first = view.epoch()

    valkey.client().flushall()

    assert view.epoch() != first


def test_a_broker_that_was_started_again_begins_a_new_epoch(
    view: BrokerView, valkey: ValkeyServer
) -> None:
    first = view.epoch()
    valkey.restart()
    view.close()

    assert view.epoch() != first


def test_a_broker_that_is_away_says_so_with_one_of_its_errors(
    view: BrokerView, valkey: ValkeyServer
) -> None:
    view.epoch()
    valkey.kill()

    with pytest.raises(view.errors):
        view.epoch()
    view.close()
    with pytest.raises(view.errors):
        view.queue_length("default")
    valkey.start()


def test_the_kind_of_a_broker_is_known_without_asking_it(tmp_path: Path) -> None:
    with open_app(tmp_path / "a", broker_url="redis://127.0.0.1:1/0") as app:
        assert is_redis(app)
    with open_app(tmp_path / "b") as app:
        assert driver_of(app) == "memory"


def test_a_broker_inside_the_process_is_as_old_as_the_process(tmp_path: Path) -> None:
    with open_app(tmp_path / "a") as one, open_app(tmp_path / "b") as other:
        epochs = [BrokerView(app).epoch() for app in (one, one, other)]

    assert epochs[0] == epochs[1] != epochs[2]
