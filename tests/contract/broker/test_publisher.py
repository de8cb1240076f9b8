from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content

from celeriac.core.task import Doorbell, TaskId
from celeriac.engine import publisher as publishing
from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.publisher import Publisher
from tests.contract.broker.consuming import commands
from tests.engines import open_app
from tests.servers.valkey import ValkeyServer


def _doorbell(task_id: str = "a", *, priority: int = 5, queue: str = "default") -> Doorbell:
    return Doorbell(task_id=TaskId(task_id), name="add", queue=queue, priority=priority)


def _messages(valkey: ValkeyServer, key: str) -> list[Any]:
    elements: Any = valkey.client().lrange(key, 0, -1)
    return [json.loads(each) for each in elements]


@pytest.fixture
def publisher(app: Celery) -> Publisher:
    made: Publisher = app.celeriac.publisher
    return made


def test_a_doorbell_is_a_message_of_celerys_protocol_without_arguments(
    publisher: Publisher, valkey: ValkeyServer
) -> None:
    publisher.ring([_doorbell("a")])

    # The ledger's 5 is Redis' 4, which kombu keeps in the list of the step below.
    (message,) = _messages(valkey, "default\x06\x163")
    assert message["content-type"] == CONTENT_TYPE
    assert message["headers"]["task"] == "add"
    assert message["headers"]["id"] == message["properties"]["correlation_id"] == "a"
    assert message["headers"]["lang"] == "py"
    assert json.loads(base64.b64decode(message["body"])) == [[], {}, {}]


@pytest.mark.parametrize(
    ("priority", "key"),
    [
        # 9 first for us, 0 first on Redis; kombu has a list for every third priority.
        (9, "default"),
        (6, "default\x06\x163"),
        (3, "default\x06\x166"),
        (0, "default\x06\x169"),
    ],
)
def test_a_doorbell_lies_where_its_priority_is_served(
    publisher: Publisher, valkey: ValkeyServer, priority: int, key: str
) -> None:
    publisher.ring([_doorbell(priority=priority)])

    assert [each["headers"]["id"] for each in _messages(valkey, key)] == ["a"]


def test_doorbells_of_one_priority_are_served_in_the_order_of_ringing(
    publisher: Publisher, app: Celery
) -> None:
    publisher.ring([_doorbell(each) for each in "abc"])

    served = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues["default"].bind(connection.default_channel)
        while message := queue.get(no_ack=True, accept=[CONTENT_TYPE]):
            served.append(message.headers["id"])
    assert served == ["a", "b", "c"]


def test_a_queue_that_nobody_has_declared_is_rung_all_the_same(
    publisher: Publisher, valkey: ValkeyServer
) -> None:
    publisher.ring([_doorbell(queue="new", priority=9)])

    assert len(_messages(valkey, "new")) == 1
    assert valkey.client().exists("_kombu.binding.new")


def test_a_stock_worker_refuses_a_doorbell_instead_of_running_it(
    publisher: Publisher, valkey: ValkeyServer
) -> None:
    publisher.ring([_doorbell()])
    stock = Celery("stock", broker=valkey.url, set_as_current=False)

    with stock.connection_for_read() as connection:
        queue = stock.amqp.queues.select_add("default", exchange="default").bind(
            connection.default_channel
        )
        # As its consumer does.
        message = queue.get(no_ack=True, accept=prepare_accept_content(stock.conf.accept_content))

        with pytest.raises(ContentDisallowed):
            message.decode()
    stock.close()


def test_ringing_nobody_needs_no_broker(tmp_path: Path) -> None:
    with open_app(tmp_path, broker_url="redis://127.0.0.1:1/0") as app:
        app.celeriac.publisher.ring([])

        assert app.celeriac.counters.snapshot() == {}


def test_a_broker_that_is_away_is_no_error(
    publisher: Publisher, app: Celery, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.ring([_doorbell("before")])
    valkey.kill()

    publisher.ring([_doorbell("a"), _doorbell("b")])

    assert app.celeriac.counters.snapshot() == {"doorbells_rung": 1, "doorbells_not_rung": 2}
    assert "the broker is away" in caplog.text


def test_nobody_waits_for_a_broker_that_was_away_a_moment_ago(
    publisher: Publisher, app: Celery, valkey: ValkeyServer
) -> None:
    valkey.kill()
    publisher.ring([_doorbell("a")])
    valkey.start()

    publisher.ring([_doorbell("b")])

    assert valkey.client().keys("default*") == []
    assert app.celeriac.counters.snapshot() == {"doorbells_not_rung": 2}


def test_a_broker_that_came_back_is_rung_again(
    publisher: Publisher,
    app: Celery,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)
    publisher.ring([_doorbell("before")])
    valkey.restart()
    # The connection that was kept is cut.
    publisher.ring([_doorbell("a", priority=9)])

    assert [each["headers"]["id"] for each in _messages(valkey, "default")] == ["a"]


def test_a_broker_that_came_back_at_another_port_is_rung_at_once(
    publisher: Publisher,
    app: Celery,
    valkey: ValkeyServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher.ring([_doorbell("before")])
    with ValkeyServer(tmp_path / "other") as other:
        valkey.kill()
        app.conf.broker_write_url = other.url

        publisher.ring([_doorbell("a", priority=9)])

        assert [each["headers"]["id"] for each in _messages(other, "default")] == ["a"]
        publisher.close()
    assert "the broker is away" not in caplog.text
    valkey.start()


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Celery]:
    with open_app(tmp_path) as made:
        yield made


def test_a_doorbell_rings_within_one_process_too(in_memory: Celery) -> None:
    in_memory.celeriac.publisher.ring([_doorbell("a", priority=7)])

    with in_memory.connection_for_read() as connection:
        queue = in_memory.amqp.queues["default"].bind(connection.default_channel)
        message = queue.get(no_ack=True, accept=[CONTENT_TYPE])
    assert message.headers["id"] == "a"
    assert message.decode() == [[], {}, {}]


# In which a doorbell differs from a message of Celery's own: it has no arguments to show, and no
# caller of its own to answer to.
DIFFERENT_HEADERS = {"argsrepr", "kwargsrepr"}
DIFFERENT_PROPERTIES = {"reply_to", "delivery_tag"}


def test_a_doorbell_has_what_celerys_own_message_has(
    publisher: Publisher, valkey: ValkeyServer
) -> None:
    stock = Celery("stock", broker=valkey.url, set_as_current=False)

    @stock.task(name="add")
    def add() -> None:
        """Do nothing."""

    add.apply_async(task_id="a", queue="default", priority=0)
    stock.close()
    publisher.ring([_doorbell("a", priority=9)])

    doorbell, celerys = _messages(valkey, "default")
    headers, celerys_headers = doorbell["headers"], celerys["headers"]
    assert headers.keys() == celerys_headers.keys()
    assert {key for key in headers if headers[key] != celerys_headers[key]} <= DIFFERENT_HEADERS
    properties, celerys_properties = doorbell["properties"], celerys["properties"]
    assert properties.keys() == celerys_properties.keys()
    assert {
        key for key in properties if properties[key] != celerys_properties[key]
    } == DIFFERENT_PROPERTIES
    assert doorbell["content-encoding"] == celerys["content-encoding"]


@pytest.mark.parametrize("task_id", ['a"b', "a\\b", "é🎄", "line\nline", "id-"])
def test_a_doorbell_carries_any_id_unharmed(
    publisher: Publisher, valkey: ValkeyServer, task_id: str
) -> None:
    publisher.ring([_doorbell("first", priority=9), _doorbell(task_id, priority=9)])

    message, _ = _messages(valkey, "default")
    assert message["headers"]["id"] == task_id
    assert message["properties"]["correlation_id"] == task_id


def test_no_two_doorbells_have_the_same_tag(publisher: Publisher, valkey: ValkeyServer) -> None:
    publisher.ring([_doorbell("a"), _doorbell("a")])
    publisher.close()
    publisher.ring([_doorbell("a")])

    messages = _messages(valkey, "default\x06\x163")
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 3


def test_a_thousand_doorbells_are_rung_in_a_few_commands(
    publisher: Publisher, valkey: ValkeyServer
) -> None:
    publisher.ring([_doorbell("first")])

    with commands(valkey) as sent:
        publisher.ring([_doorbell(f"task-{number}") for number in range(1000)])

    assert sent.count("LPUSH") == 2
    assert len(_messages(valkey, "default\x06\x163")) == 1001
