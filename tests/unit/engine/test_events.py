from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.events.dispatcher import EventDispatcher
from kombu.utils.json import loads

from celeriac.engine.events import BatchingDispatcher
from tests.engines import open_app


class Producer:
    """A producer that remembers what it was to publish."""

    def __init__(self) -> None:
        self.published: list[tuple[str, Any]] = []

    def publish(self, body: Any, *, routing_key: str, **options: Any) -> None:
        if isinstance(body, bytes):
            assert options["content_type"] == "application/json"
            assert options["content_encoding"] == "utf-8"
            body = loads(body)
        self.published.append((routing_key, body))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with open_app(tmp_path) as app:
        yield app


def _dispatcher(app: Celery, kind: type[EventDispatcher], **options: Any) -> Any:
    dispatcher = kind(
        app.connection_for_write(), hostname="w@host", app=app, buffer_group=["task"], **options
    )
    dispatcher.producer = Producer()
    return dispatcher


def _published(dispatcher: Any) -> list[tuple[str, Any]]:
    published: list[tuple[str, Any]] = dispatcher.producer.published
    return published


def test_an_app_sends_its_events_in_batches(app: Celery) -> None:
    assert issubclass(app.events.Dispatcher, BatchingDispatcher)


def test_the_events_of_a_batch_travel_in_one_message(app: Celery) -> None:
    dispatcher = _dispatcher(app, BatchingDispatcher)

    for number in range(300):
        dispatcher.send("task-started", uuid=f"task-{number}")
    dispatcher.flush()

    ((key, events),) = _published(dispatcher)
    assert key == "task.multi"
    assert [event["uuid"] for event in events] == [f"task-{number}" for number in range(300)]


def test_an_event_says_what_celerys_own_says(app: Celery) -> None:
    fields = {"uuid": "task-1", "result": "42", "runtime": 0.5}
    ours, celerys = _dispatcher(app, BatchingDispatcher), _dispatcher(app, EventDispatcher)

    for dispatcher in (ours, celerys):
        dispatcher.send("task-succeeded", **fields)
        dispatcher.flush()

    ((key, (event,)),), ((celerys_key, (celerys_event,)),) = _published(ours), _published(celerys)
    moving = {"clock", "timestamp"}
    assert key == celerys_key
    assert event.keys() == celerys_event.keys()
    assert {k: v for k, v in event.items() if k not in moving} == {
        k: v for k, v in celerys_event.items() if k not in moving
    }
    assert celerys_event["clock"] > event["clock"]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "task-shipped", "at": datetime(2026, 11, 22, tzinfo=UTC)},
        # No Unicode, and more than orjson takes.
        {"type": "task-succeeded", "result": "\ud800"},
        {"type": "task-succeeded", "result": 2**70},
    ],
)
def test_what_is_not_plain_is_left_to_kombu(app: Celery, fields: dict[str, Any]) -> None:
    dispatcher = _dispatcher(app, BatchingDispatcher)

    dispatcher.send(**fields)
    dispatcher.flush()

    ((_, (event,)),) = _published(dispatcher)
    assert {name: event[name] for name in fields} == fields


def test_whoever_flushes_is_asked_once_for_a_batch(app: Celery) -> None:
    asked: list[None] = []
    dispatcher = _dispatcher(app, BatchingDispatcher, on_send_buffered=lambda: asked.append(None))

    for _ in range(3):
        dispatcher.send("task-started", uuid="task-1")
    dispatcher.flush()
    dispatcher.send("task-started", uuid="task-2")

    assert len(asked) == 2


def test_a_batch_that_is_full_waits_for_nobody(app: Celery) -> None:
    dispatcher = _dispatcher(app, BatchingDispatcher, buffer_limit=2)

    dispatcher.send("task-started", uuid="task-1")
    dispatcher.send("task-started", uuid="task-2")

    assert len(_published(dispatcher)) == 1


def test_events_of_the_worker_itself_are_sent_at_once(app: Celery) -> None:
    dispatcher = _dispatcher(app, BatchingDispatcher)

    dispatcher.send("worker-heartbeat", freq=2)

    ((key, event),) = _published(dispatcher)
    assert (key, event["type"], event["freq"]) == ("worker.heartbeat", "worker-heartbeat", 2)


@pytest.mark.parametrize("options", [{"enabled": False}, {"groups": ["worker"]}])
def test_events_that_nobody_wants_are_not_made(app: Celery, options: dict[str, Any]) -> None:
    dispatcher = _dispatcher(app, BatchingDispatcher, **options)

    dispatcher.send("task-started", uuid="task-1")
    dispatcher.flush()

    assert _published(dispatcher) == []
