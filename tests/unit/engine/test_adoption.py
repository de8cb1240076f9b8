"""Taking in messages of plain producers, without a worker around it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from kombu.entity import Exchange, Queue

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.engine.adoption import Adoption
from celeriac.engine.app import install
from celeriac.engine.foreign_chords import Adopted, ForeignChords
from celeriac.engine.messages import read_old_message
from celeriac.engine.pool.intake import Intake
from celeriac.engine.pool.told import Told
from celeriac.errors import TaskNotFoundError
from celeriac.settings import Settings
from celeriac.telemetry import Counters
from tests.engines import Request, open_app
from tests.fakes import make_new_task
from tests.servers.processes import wait_until


class Message:
    """Kombu's message as far as adoption speaks to it."""

    def __init__(self, name: str, *args: Any, task_id: str = "", **headers: Any) -> None:
        self.headers = {"task": name, "id": task_id or uuid4().hex, "lang": "py", **headers}
        self.properties: dict[str, Any] = {}
        self.delivery_info = {"exchange": "", "routing_key": "default"}
        self.payload: Any = (list(args), {}, {"callbacks": None, "chain": None, "chord": None})
        self.acknowledged = False

    def ack_log_error(self, *_: Any) -> None:
        self.acknowledged = True


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with open_app(tmp_path) as app:
        yield app


@pytest.fixture
def adoption(app: Celery) -> Iterator[Adoption]:
    def post(call: Callable[..., None], *args: Any) -> None:
        call(*args)

    adoption = Adoption(app, app.celeriac, post)
    adoption.start()
    yield adoption
    adoption.stop(seconds=10)


def test_message_is_acknowledged_when_its_row_is_there(app: Celery, adoption: Adoption) -> None:
    message = Message("shop.charge", 7)

    assert adoption.take(message)

    wait_until(lambda: message.acknowledged, "it is acknowledged")
    task = app.celeriac.ledger.tasks.get(TaskId(message.headers["id"]))
    assert (task.name, task.queue, task.state) == ("shop.charge", "default", TaskState.QUEUED)
    assert json.loads(task.arguments.text) == [[7], {}]


def test_message_of_the_old_protocol_is_a_task_like_any_other(
    app: Celery, adoption: Adoption
) -> None:
    link = app.signature("shop.send", task_id="linked")
    body = app.amqp.as_task_v1(
        "old", "shop.charge", (7,), {"cents": 1}, retries=2, time_limit=60, callbacks=[link]
    ).body
    message = Message("shop.charge")
    message.headers, message.payload = {}, body

    assert adoption.take(message)

    wait_until(lambda: message.acknowledged, "it is acknowledged")
    task = app.celeriac.ledger.tasks.get(TaskId("old"))
    assert (task.name, task.retries, task.timeout_seconds) == ("shop.charge", 2, 60)
    assert json.loads(task.arguments.text) == [[7], {"cents": 1}]
    assert json.loads(task.headers)["callbacks"][0]["task"] == "shop.send"


@pytest.mark.parametrize(("utc", "hour"), [(True, 12), (False, 10)])
def test_time_of_the_old_protocol_may_be_the_producers_own(
    monkeypatch: pytest.MonkeyPatch, *, utc: bool, hour: int
) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        body = {"task": "shop.charge", "id": "old", "eta": "2999-07-01T12:00:00", "utc": utc}
        headers, _ = read_old_message(body)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert headers["eta"].astimezone(UTC).hour == hour


def test_message_that_came_by_its_topic_belongs_to_the_queue_it_lay_in(
    app: Celery, adoption: Adoption
) -> None:
    events = Exchange("shop", type="topic")
    with app.connection_for_write() as connection:
        queue = Queue("orders", events, routing_key="order.#")
        consumer = app.amqp.TaskConsumer(connection.default_channel, queues=[queue])
        came: list[Any] = []
        consumer.on_message = came.append
        consumer.consume()
        with connection.Producer(exchange=events) as producer:
            headers = {"task": "shop.charge", "id": "by-topic", "lang": "py"}
            producer.publish([[7], {}, {}], routing_key="order.new.eu", headers=headers)
        connection.drain_events(timeout=5)

        assert adoption.take(came[0])
        wait_until(lambda: came[0].acknowledged, "it is acknowledged")

    assert app.celeriac.ledger.tasks.get(TaskId("by-topic")).queue == "orders"


def test_message_that_comes_again_is_acknowledged_and_changes_nothing(
    app: Celery, adoption: Adoption
) -> None:
    first = Message("shop.charge", 7)
    again = Message("shop.charge", 7, task_id=first.headers["id"])

    adoption.take(first)
    adoption.take(again)

    wait_until(lambda: first.acknowledged and again.acknowledged, "both are acknowledged")
    assert app.celeriac.ledger.tasks.get(TaskId(first.headers["id"])).version == 1


def test_message_that_cannot_be_kept_is_in_nobodys_way(app: Celery, adoption: Adoption) -> None:
    first = Message("shop.charge", 7)
    other = Message("shop.charge", 8, task_id=first.headers["id"])
    neighbour = Message("shop.charge", 9)

    for each in (first, other, neighbour):
        adoption.take(each)

    wait_until(lambda: first.acknowledged and neighbour.acknowledged, "they are acknowledged")
    wait_until(lambda: other.acknowledged, "so is the one that was refused")
    assert app.celeriac.counters.snapshot()["messages_refused"] == 1
    tasks = app.celeriac.ledger.tasks
    assert tasks.get(TaskId(neighbour.headers["id"])).state is TaskState.QUEUED
    assert json.loads(tasks.get(TaskId(first.headers["id"])).arguments.text) == [[7], {}]


def test_message_with_a_time_waits_in_the_ledger(app: Celery, adoption: Adoption) -> None:
    message = Message("shop.charge", 7, eta="2999-01-01T00:00:00+00:00")

    adoption.take(message)

    wait_until(lambda: message.acknowledged, "it is acknowledged")
    task = app.celeriac.ledger.tasks.get(TaskId(message.headers["id"]))
    assert task.state is TaskState.SCHEDULED


def test_part_of_a_chord_runs_alone_where_celery_itself_looks_for_the_results(
    app: Celery, adoption: Adoption, caplog: pytest.LogCaptureFixture
) -> None:
    message = Message("shop.charge", 7, group="some-group")
    message.payload[2]["chord"] = {"task": "shop.total"}

    adoption.take(message)

    wait_until(lambda: message.acknowledged, "it is acknowledged")
    task = app.celeriac.ledger.tasks.get(TaskId(message.headers["id"]))
    assert (task.state, json.loads(task.headers)) == (TaskState.QUEUED, {})
    assert not caplog.records


class Sizes(ForeignChords):
    """Chords whose sizes are what the test says; None is a Redis that is away."""

    known: dict[str, tuple[int, Any]] | None = None

    def _look(self, _: set[str]) -> dict[str, tuple[int, Any]] | None:
        return self.known


def a_part(chord_id: str, place: int) -> Adopted:
    row = make_new_task(
        id=TaskId(f"{chord_id}-{place}"),
        group_id=chord_id,
        group_index=place,
        chord_id=chord_id,
        headers=json.dumps({"chord": {"task": "shop.total"}}),
    )
    return Adopted(message=None, rows=(row,), body={"task": "shop.total"})


def test_parts_of_a_chord_wait_until_its_size_is_known(app: Celery) -> None:
    app.conf.result_backend = "redis://127.0.0.1:1"
    now = [0.0]
    chords = Sizes(app, monotonic=lambda: now[0])

    # However long the one who knows is away.
    assert chords.settle([a_part("c", 1)]) == []
    now[0] += 1000
    assert chords.settle([]) == []
    chords.known = {"c": (0, None)}
    assert chords.settle([a_part("c", 0)]) == []
    chords.known = {"c": (2, None)}
    ready = chords.settle([])

    assert [each.rows[0].id for each in ready] == ["c-1", "c-0"]
    assert {each.chord.size for each in ready if each.chord} == {2}
    assert {each.rows[0].chord_id for each in ready} == {"c"}
    assert chords.held == 0


def test_part_of_a_chord_that_cannot_be_read_is_in_nobodys_way(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.result_backend = "redis://127.0.0.1:1"
    chords = Sizes(app)
    chords.known = {"c": (2, None)}
    bad = replace(a_part("c", 0), body={"kwargs": 7, "subtask_type": "chain"})

    ready = chords.settle([bad, a_part("c", 1)])

    assert [each.rows[0].chord_id for each in ready] == [None, "c"]
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("group", [7, "", "\ud800", "a\0b"])
def test_part_of_a_chord_without_a_name_runs_alone(
    app: Celery, adoption: Adoption, group: Any
) -> None:
    app.conf.result_backend = "redis://127.0.0.1:1"
    message = Message("shop.charge", 7)
    message.headers["group"] = group
    message.payload[2]["chord"] = {"task": "shop.total"}

    assert adoption._read(message).body is None


def test_parts_of_a_chord_run_alone_when_nobody_will_know_its_size(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.result_backend = "redis://127.0.0.1:1"
    now = [0.0]
    chords = Sizes(app, monotonic=lambda: now[0])
    chords.known = {}
    assert chords.settle([a_part("c", 0)]) == []

    now[0] += 61
    (alone,) = chords.settle([])

    assert (alone.chord, alone.rows[0].chord_id, alone.rows[0].headers) == (None, None, "{}")
    assert "its body will not run" in caplog.text


@pytest.mark.parametrize("payload", [{"no": "task"}, "text", None, ([], {})], ids=repr)
def test_what_is_no_task_is_left_to_celery(adoption: Adoption, payload: Any) -> None:
    message = Message("shop.charge")
    message.payload = payload

    assert not adoption.take(message)


def test_unknown_id_is_pending_in_an_app_that_adopts(tmp_path: Path) -> None:
    with open_app(tmp_path / "strict") as app, pytest.raises(TaskNotFoundError):
        _ = app.AsyncResult("nobody").state

    with open_app(tmp_path / "moved") as app:
        app.celeriac.close()
        settings = Settings(data_dir=tmp_path / "moved", broker_url="memory://")
        install(app, settings, adopt=True)
        assert app.AsyncResult("nobody").state == "PENDING"
        app.celeriac.close()


def test_plain_task_that_is_acknowledged_early_runs_at_most_once(app: Celery) -> None:
    @app.task(name="unit.early", acks_late=False)
    def early() -> None: ...

    @app.task(name="unit.late")
    def late() -> None: ...

    assert app.celeriac.is_at_most_once("unit.early")
    assert not app.celeriac.is_at_most_once("unit.late")
    assert not app.celeriac.is_at_most_once("unit.unknown")


def test_what_may_run_once_only_is_claimed_for_a_free_slot_and_never_ahead() -> None:
    intake = Intake(
        Told(lambda call, *args: call(*args)), Counters(), is_at_most_once="once".__eq__
    )
    for number, name in enumerate(("twice", "once", "twice", "once")):
        request = Request(f"task-{number}")
        request.name = name
        intake.put_all([request])
    intake.look(lambda _: None)

    assert intake.ask_for(10, free=0) == ["task-0"]
    assert intake.ask_for(10, free=0) == []
    assert intake.ask_for(10, free=1) == ["task-1", "task-2"]
    assert intake.ask_for(10, free=1) == ["task-3"]


def test_messages_are_taken_in_although_a_doorbell_could_not_be_rung(
    app: Celery, adoption: Adoption, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise KeyError("no such queue")

    monkeypatch.setattr(app.celeriac.publisher, "ring", fail)
    first, second = Message("shop.charge", 1), Message("shop.charge", 2)

    adoption.take(first)
    wait_until(lambda: first.acknowledged, "the first is acknowledged")
    adoption.take(second)

    wait_until(lambda: second.acknowledged, "the second is acknowledged")
