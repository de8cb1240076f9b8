from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, signals
from celery.worker import state
from celery.worker.request import Request
from celery.worker.strategy import default
from kombu.asynchronous.timer import Timer

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import Doorbell, TaskId
from celeriac.engine.consumer import LedgerConsumer
from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.executor import Report
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.pool.told import Told
from celeriac.engine.request import DoorbellRequest
from tests.engines import open_app


class ListPool(LedgerPool):
    """A pool that only remembers what it got."""

    def __init__(self, app: Celery) -> None:
        super().__init__(limit=1, app=app)
        self.got: list[Any] = []
        self.strangers: list[tuple[str, str]] = []
        self.is_ending = False
        self.consumer: Any = None

    def receive_all(self, requests: Sequence[Any]) -> None:
        self.got += requests

    def meet_stranger(self, task_id: TaskId, name: str) -> bool:
        self.strangers.append((task_id, name))
        return not self.is_ending

    def consumes_by(self, consumer: Any) -> None:
        self.consumer = consumer


class Dispatcher:
    """Where events go."""

    enabled = True

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append((kind, fields))


def tuned(task: Any, app: Any, consumer: Any) -> Any:
    """A strategy as a user may write one."""
    return default(task, app, consumer)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    state.reset_state()
    with open_app(tmp_path) as app:

        @app.task(name="add")
        def add() -> None:
            """Do nothing."""

        app.finalize()
        yield app
    state.reset_state()


@pytest.fixture
def pool(app: Celery) -> Iterator[ListPool]:
    pool = ListPool(app)
    yield pool
    pool._mailbox.close()


@pytest.fixture
def consumer(app: Celery, pool: ListPool) -> LedgerConsumer:
    consumer = LedgerConsumer(
        lambda request: request.execute_using_pool(pool),
        app=app,
        pool=pool,
        timer=Timer(),
        controller=SimpleNamespace(state=state, use_eventloop=False),
    )
    consumer.event_dispatcher = Dispatcher()
    consumer.update_strategies()
    return consumer


@pytest.fixture
def message(app: Celery) -> Iterator[Callable[..., Any]]:
    """Ring a doorbell and take it as a message."""
    with app.connection_for_read() as connection:

        def ring(task_id: str = "task-1", name: str = "add") -> Any:
            bell = Doorbell(task_id=TaskId(task_id), name=name, queue="default", priority=5)
            app.celeriac.publisher.ring([bell])
            queue = app.amqp.queues["default"](connection.default_channel)
            return queue.get(accept=[CONTENT_TYPE])

        yield ring


def test_a_doorbell_reaches_the_pool_as_a_request_of_its_task(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any], app: Celery
) -> None:
    consumer.create_task_handler()(message("task-1"))

    (request,) = pool.got
    assert isinstance(request, DoorbellRequest)
    assert (request.id, request.name, request.task) == ("task-1", "add", app.tasks["add"])
    assert state.requests == {"task-1": request}
    assert request in state.reserved_requests


def test_a_doorbell_is_described_as_celery_describes_any_message(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any], app: Celery
) -> None:
    both = message("task-1")
    celerys = Request(both, app=app, hostname=consumer.hostname, task=app.tasks["add"])

    consumer.create_task_handler()(both)

    ours = pool.got[0]
    assert ours.info(safe=True) == celerys.info(safe=True)
    assert ours.request_dict == celerys.request_dict
    assert str(ours) == str(celerys)
    assert repr(ours) == repr(celerys).replace("Request", "DoorbellRequest")
    assert ours.correlation_id == celerys.correlation_id


def test_a_pool_learns_from_which_consumer_it_gets_its_doorbells(
    consumer: LedgerConsumer, pool: ListPool
) -> None:
    consumer.create_task_handler()

    assert pool.consumer is consumer


def test_a_task_with_a_strategy_of_its_own_is_left_to_celery(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any], app: Celery
) -> None:
    app.tasks["add"].Strategy = f"{__name__}:tuned"
    consumer.update_strategies()

    consumer.create_task_handler()(message("task-1"))

    assert not isinstance(pool.got[0], DoorbellRequest)
    assert pool.got[0].id == "task-1"


def test_a_doorbell_for_a_task_that_is_not_known_here_is_no_failure(
    consumer: LedgerConsumer,
    pool: ListPool,
    message: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    unknown: list[str] = []

    def receiver(name: str, **_: Any) -> None:
        unknown.append(name)

    signals.task_unknown.connect(receiver)
    taken = message("task-1", name="elsewhere")

    consumer.create_task_handler()(taken)

    assert pool.strangers == [("task-1", "elsewhere")]
    assert unknown == ["elsewhere"]
    assert taken.acknowledged
    assert pool.got == consumer.event_dispatcher.sent == caplog.records == []


def test_a_worker_that_ends_leaves_what_it_does_not_know_to_others(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    pool.is_ending = True
    taken = message("task-1", name="elsewhere")

    consumer.create_task_handler()(taken)

    assert not taken.acknowledged


def test_a_message_of_others_for_a_task_that_is_not_known_is_left_to_celery(
    consumer: LedgerConsumer, pool: ListPool, app: Celery
) -> None:
    with app.connection_for_write() as connection:
        queue = app.amqp.queues["default"](connection.default_channel)
        app.amqp.Producer(connection).publish(
            ((), {}, {}),
            headers={"task": "elsewhere", "id": "task-1"},
            routing_key="default",
            declare=[queue],
        )
        taken = queue.get(accept=["json"])

        consumer.create_task_handler()(taken)

    assert taken.acknowledged
    assert pool.strangers == pool.got == []


def test_names_that_somebody_made_up_are_not_remembered(
    consumer: LedgerConsumer, message: Callable[..., Any]
) -> None:
    handler: Any = consumer.create_task_handler()

    for name in ("add", "forged-1", "forged-2"):
        handler(message(name=name))

    assert list(handler._kinds) == ["add"]


def test_a_revoked_task_reaches_no_pool_and_its_doorbell_is_acknowledged(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    state.revoked.add("task-1")
    taken = message("task-1")

    consumer.create_task_handler()(taken)

    assert pool.got == []
    assert taken.acknowledged
    assert [kind for kind, _ in consumer.event_dispatcher.sent] == ["task-revoked"]


def test_a_rate_limit_holds_doorbells_back(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any], app: Celery
) -> None:
    app.tasks["add"].rate_limit = "1/h"
    consumer.reset_rate_limits()
    handler = consumer.create_task_handler()

    handler(message("task-1"))
    handler(message("task-2"))

    assert [request.id for request in pool.got] == ["task-1"]
    assert len(consumer.task_buckets["add"].contents) == 1


def test_everybody_who_asked_is_told_of_a_received_task(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    signalled: list[str] = []
    called: list[str] = []

    def receiver(request: Any, **_: Any) -> None:
        signalled.append(request.id)

    signals.task_received.connect(receiver)
    consumer.on_task_message.add(lambda request: called.append(request.id))

    consumer.create_task_handler()(message("task-1"))
    signals.task_received.disconnect(receiver)

    ((kind, fields),) = consumer.event_dispatcher.sent
    assert signalled == called == ["task-1"]
    assert (kind, fields["uuid"], fields["name"]) == ("task-received", "task-1", "add")


def test_a_task_that_runs_is_active_and_counted(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    consumer.create_task_handler()(message("task-1"))

    pool.got[0].on_accepted(4711, 1.0)

    assert list(state.active_requests) == pool.got
    assert state.total_count["add"] == 1
    assert state.all_total_count == [1]
    assert pool.got[0].info()["worker_pid"] == 4711


def test_tasks_that_began_and_ended_at_once_are_counted_and_gone(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    messages = [message("task-1"), message("task-2"), message("task-3")]
    consumer.create_task_handler().take_doorbells(deque(messages))
    consumer.event_dispatcher.sent.clear()
    told = Told(lambda call, *args: call(*args))
    first, second, _ = pool.got

    for request in pool.got:
        told.accepted(request, 4711, 1.0)
    for request in (first, second):
        told.ended(request, *_ended(request))
    told.flush()

    assert all(each.acknowledged for each in messages)
    assert list(state.requests) == ["task-3"]
    assert [each.id for each in state.active_requests] == ["task-3"]
    assert [each.id for each in state.reserved_requests] == ["task-3"]
    assert state.total_count["add"] == 3
    assert [(kind, fields["uuid"]) for kind, fields in consumer.event_dispatcher.sent] == [
        ("task-started", "task-1"),
        ("task-started", "task-2"),
        ("task-started", "task-3"),
        ("task-succeeded", "task-1"),
        ("task-succeeded", "task-2"),
    ]


def test_nothing_is_told_of_tasks_while_nobody_asked_for_it(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    consumer.event_dispatcher.groups = {"worker"}

    consumer.create_task_handler()(message("task-1"))
    untold = list(consumer.event_dispatcher.sent)
    # Flower asks for it while the worker runs.
    consumer.event_dispatcher.groups.add("task")
    consumer.create_task_handler()(message("task-2"))

    assert untold == []
    assert [fields["uuid"] for _, fields in consumer.event_dispatcher.sent] == ["task-2"]


def _ended(request: Any) -> tuple[Outcome, Report]:
    outcome = Outcome(
        task_id=TaskId(request.id),
        lease_token="lease",
        ending=Ending.COMPLETED,
        finished_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    return outcome, Report(state="SUCCESS", runtime_seconds=0.5, shown="42")


def test_a_rejected_doorbell_goes_back_to_its_queue_once(
    consumer: LedgerConsumer, pool: ListPool, message: Callable[..., Any]
) -> None:
    taken = message("task-1")
    consumer.create_task_handler()(taken)

    pool.got[0].reject(requeue=True)
    pool.got[0].acknowledge()

    assert taken.channel._size("default") == 1


@pytest.mark.parametrize(
    ("content_type", "headers", "body"),
    [
        (CONTENT_TYPE, {"task": "add"}, "[]"),
        (CONTENT_TYPE, {"task": "add", "id": 5}, "[]"),
        (CONTENT_TYPE, {"task": ["add"], "id": "a"}, "[]"),
        ("application/json", {"task": "add"}, "[[], {}, {}]"),
        ("application/json", {"task": "add", "id": None}, "[[], {}, {}]"),
        ("application/json", {"task": "add", "id": "a"}, "5"),
        ("application/json", {"task": "add", "id": "a"}, "[1]"),
        ("application/json", {"task": ["add"], "id": "a"}, "[[], {}, {}]"),
    ],
)
def test_what_only_looks_like_a_message_is_dropped_and_ends_no_worker(
    consumer: LedgerConsumer,
    pool: ListPool,
    app: Celery,
    content_type: str,
    headers: dict[str, Any],
    body: str,
) -> None:
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        message = channel.Message(
            channel.prepare_message(
                body,
                content_type=content_type,
                content_encoding="utf-8",
                headers=headers,
                properties={"delivery_info": {}, "delivery_tag": "tag"},
            ),
            channel=channel,
        )
        message.accept = {"application/json", CONTENT_TYPE}

        consumer.create_task_handler()(message)

    assert pool.got == []
    assert message.acknowledged
