from __future__ import annotations

import bz2
import json
import lzma
import socket
import zlib
from base64 import b64encode
from collections import Counter, deque
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer

from celeriac.engine.amqp import QueueConsumer
from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.transport.message import acknowledge_all
from tests.contract.broker.consuming import (
    STEPS,
    STOCK,
    Consuming,
    commands,
    fill,
    lying,
    make_message,
    parked,
)
from tests.servers.valkey import ValkeyServer


def test_a_thousand_messages_cost_a_constant_number_of_round_trips(valkey: ValkeyServer) -> None:
    fill(valkey, 1000)
    with Consuming(valkey.url, prefetch=1000) as reader:
        with commands(valkey) as sent:
            reader.take(1000)
            reader.acknowledge()
            reader.run(lambda: parked(valkey) == 0)

        counts = Counter(sent)

    assert counts["EVALSHA"] <= 6
    assert counts["BRPOP"] <= 3
    # What the test itself asks for is not counted against anybody.
    others = set(counts) - {"KEYS", "HLEN", "ECHO", "MONITOR", "SCRIPT"}
    assert sum(counts[each] for each in others) <= 16, counts


def test_what_is_delivered_is_parked_before(valkey: ValkeyServer) -> None:
    fill(valkey, 10)
    seen: list[int] = []
    with Consuming(valkey.url, on_message=lambda _: seen.append(parked(valkey))) as reader:
        reader.run(lambda: len(seen) == 10)

    assert seen == [10] * 10


@pytest.mark.parametrize("prefetch", [1, 2, 7, 300])
def test_the_window_is_never_exceeded(valkey: ValkeyServer, prefetch: int) -> None:
    total = prefetch * 3 + 1
    fill(valkey, total)
    got: list[int] = []
    with Consuming(valkey.url, prefetch=prefetch) as reader:
        while len(got) < total:
            reader.run(lambda: reader.messages)
            reader.idle(0.01)
            assert len(reader.messages) <= prefetch
            assert parked(valkey) <= prefetch + len(got)
            got += reader.numbers
            reader.acknowledge()

    assert got == list(range(total))


def test_a_window_that_shrank_takes_nothing_until_there_is_room(valkey: ValkeyServer) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(10)
        reader.consumer.qos(prefetch_count=4)
        for message in reader.messages[:6]:
            message.ack()

        reader.idle()
        held = len(reader.messages)
        reader.messages[6].ack()
        reader.take(11)

    assert held == 10


def test_a_window_that_stays_half_full_still_takes_what_it_has_room_for(
    valkey: ValkeyServer,
) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, prefetch=4) as reader:
        reader.take(4)

        for place in range(3, 8):
            reader.messages[place].ack()
            reader.take(place + 2)

        assert reader.numbers == list(range(9))


def test_higher_priorities_come_first(valkey: ValkeyServer) -> None:
    for number, step in enumerate(reversed(STEPS.values())):
        fill(valkey, 3, queue=f"default{step}", first=number * 10)

    with Consuming(valkey.url, prefetch=12) as reader:
        numbers = reader.take(12)

    assert numbers == [30, 31, 32, 20, 21, 22, 10, 11, 12, 0, 1, 2]


def test_a_busy_queue_leaves_the_others_their_share(valkey: ValkeyServer) -> None:
    fill(valkey, 500, queue="busy")
    fill(valkey, 20, queue="calm", first=1000)
    fill(valkey, 20, queue="quiet", first=2000)

    with Consuming(valkey.url, "busy", "calm", "quiet", prefetch=60) as reader:
        numbers = reader.take(60)

    assert sum(number >= 2000 for number in numbers) >= 19
    assert sum(1000 <= number < 2000 for number in numbers) >= 19


@pytest.mark.parametrize("prefetch", [1, 2, 3])
def test_a_window_that_is_smaller_than_the_queues_are_many_starves_none(
    valkey: ValkeyServer, prefetch: int
) -> None:
    for place, queue in enumerate("abcd"):
        fill(valkey, 40, queue=queue, first=place * 100)
    got: list[int] = []
    with Consuming(valkey.url, *"abcd", prefetch=prefetch) as reader:
        while len(got) < 40:
            reader.run(lambda: reader.messages)
            got += reader.numbers
            reader.acknowledge()

    shares = Counter(number // 100 for number in got)
    assert set(shares) == {0, 1, 2, 3}
    assert min(shares.values()) >= 5, shares


def test_acknowledgements_travel_together_before_the_pop_waits(valkey: ValkeyServer) -> None:
    fill(valkey, 90)
    with Consuming(valkey.url, prefetch=100) as reader:
        reader.take(90)
        # The pop that waits beside them is answered within a second.
        reader.run(lambda: not reader.channel._in_poll)
        with commands(valkey) as sent:
            reader.acknowledge()
            reader.hub.run_once()

        left = parked(valkey)

    assert sent.count("HDEL") == 1
    assert sent.index("HDEL") < sent.index("BRPOP")
    assert left == 0


def test_an_acknowledgement_is_told_while_the_pop_waits(valkey: ValkeyServer) -> None:
    fill(valkey, 1)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(1)
        reader.idle(0.05)
        assert reader.channel._in_poll

        reader.acknowledge()

        reader.run(lambda: parked(valkey) == 0, seconds=0.9)


def test_a_message_that_is_rejected_is_forgotten(valkey: ValkeyServer) -> None:
    fill(valkey, 1)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(1)

        reader.messages[0].reject()

        reader.run(lambda: parked(valkey) == 0)
    assert lying(valkey) == []


def test_a_message_that_is_requeued_comes_behind_the_others(valkey: ValkeyServer) -> None:
    fill(valkey, 4)
    with Consuming(valkey.url, prefetch=1) as reader:
        reader.take(1)

        reader.messages.pop().requeue()
        behind = lying(valkey)

    assert behind == [1, 2, 3, 0]


def test_closing_gives_everything_back_in_its_order(valkey: ValkeyServer) -> None:
    fill(valkey, 600)
    with Consuming(valkey.url, prefetch=500) as reader:
        reader.take(500)
        reader.messages[0].ack()

    assert lying(valkey) == list(range(1, 600))
    assert valkey.client().keys("celeriac:*") == []


def test_a_message_that_is_popped_while_closing_is_given_back(valkey: ValkeyServer) -> None:
    with Consuming(valkey.url, prefetch=5) as reader:
        reader.idle(0.1)
        assert reader.channel._in_poll

        fill(valkey, 20)

    assert reader.messages == []
    assert lying(valkey) == list(range(20))
    assert valkey.client().keys("celeriac:*") == []


def test_messages_that_nobody_acknowledges_are_not_parked(valkey: ValkeyServer) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, no_ack=True) as reader:
        reader.take(20)

        assert valkey.client().keys("celeriac:*") == []


def test_replies_beside_a_queue_are_not_parked_and_the_queue_is(valkey: ValkeyServer) -> None:
    fill(valkey, 5)
    fill(valkey, 5, queue="replies", first=100)
    with Consuming(valkey.url, prefetch=50) as reader:
        replies = Consumer(
            reader.channel, [Queue("replies")], no_ack=True, on_message=reader.messages.append
        )
        replies.consume()

        numbers = reader.take(10)

        assert sorted(numbers) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
        assert parked(valkey) == 5


def test_what_comes_for_a_consumer_that_was_cancelled_is_given_back(valkey: ValkeyServer) -> None:
    with Consuming(valkey.url, "kept", "left", prefetch=10) as reader:
        reader.idle(0.1)
        reader.consumer.cancel_by_queue("left")

        fill(valkey, 3, queue="left")
        reader.idle(0.2)

        assert reader.messages == []
        assert lying(valkey, "left") == [0, 1, 2]


def test_what_follows_a_message_that_broke_its_consumer_is_given_back(
    valkey: ValkeyServer,
) -> None:
    fill(valkey, 10)
    seen: list[Any] = []

    def break_at_third(message: Any) -> None:
        seen.append(message)
        if len(seen) == 3:
            raise ZeroDivisionError

    with Consuming(valkey.url, on_message=break_at_third) as reader:
        with pytest.raises(ZeroDivisionError):
            reader.run(lambda: False)

        assert lying(valkey) == [3, 4, 5, 6, 7, 8, 9]
        assert parked(valkey) == 3


class Many:
    """Takes doorbells many at a time, and any other message by itself."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.calls: list[list[str]] = []
        self.messages: list[Any] = []
        self._fails_at = fails_at

    def __call__(self, message: Any) -> None:
        self.calls.append([message.headers["id"]])
        self.messages.append(message)

    def take_doorbells(self, messages: deque[Any]) -> None:
        """Note what came together."""
        self.calls.append([])
        while messages:
            message = messages.popleft()
            if message.headers["id"] == self._fails_at:
                raise ConnectionError("the consumer broke")
            self.calls[-1].append(message.headers["id"])
            self.messages.append(message)


def _ring(valkey: ValkeyServer, *ids: str, queue: str = "default") -> None:
    bells = [
        make_message(**{"content-type": CONTENT_TYPE, "headers": {"id": each}}) for each in ids
    ]
    valkey.client().lpush(queue, *map(json.dumps, bells))


@pytest.mark.parametrize("kind", [Consumer, QueueConsumer])
def test_doorbells_of_one_fetch_are_delivered_together_and_in_their_order(
    valkey: ValkeyServer, kind: type[Consumer]
) -> None:
    _ring(valkey, "a", "b")
    fill(valkey, 1)
    _ring(valkey, "c", "d")
    many = Many()
    with Consuming(valkey.url, prefetch=100, on_message=many, kind=kind) as reader:
        reader.run(lambda: len(many.messages) == 5)
        assert parked(valkey) == 5
        acknowledge_all(many.messages)
        reader.run(lambda: parked(valkey) == 0)

    assert [each for call in many.calls for each in call] == ["a", "b", "task-0", "c", "d"]
    # The first one wakes the consumer, which fetches all others in one step.
    assert ["c", "d"] in many.calls
    assert lying(valkey) == []


def test_doorbells_that_nobody_has_seen_when_their_consumer_breaks_are_given_back(
    valkey: ValkeyServer,
) -> None:
    _ring(valkey, "a", "b", "c", "d")
    many = Many(fails_at="c")
    with Consuming(valkey.url, prefetch=100, on_message=many) as reader:
        reader.hub.propagate_errors = (ConnectionError,)  # type: ignore[assignment]
        with pytest.raises(ConnectionError):
            reader.run(lambda: len(many.messages) == 4)

        left = [
            json.loads(each)["headers"]["id"] for each in valkey.client().lrange("default", 0, -1)
        ]
        assert left == ["d"]
        assert [message.headers["id"] for message in many.messages] == ["a", "b"]


def test_a_doorbell_that_is_done_with_at_once_is_not_parked_for_ever(
    valkey: ValkeyServer,
) -> None:
    done: list[Any] = []

    class Quick(Many):
        def take_doorbells(self, messages: deque[Any]) -> None:
            done.extend(messages)
            acknowledge_all(messages)
            messages.clear()

    with Consuming(valkey.url, prefetch=100, on_message=Quick()) as reader:
        reader.idle(0.1)
        # The pop waits already, so that this one is delivered before it is parked.
        _ring(valkey, "a")
        reader.run(lambda: done)
        reader.idle(0.2)

        assert parked(valkey) == 0


def test_a_doorbell_that_is_requeued_at_once_is_back_in_its_queue(valkey: ValkeyServer) -> None:
    class Picky(Many):
        def take_doorbells(self, messages: deque[Any]) -> None:
            message = messages.popleft()
            self.messages.append(message)
            if len(self.messages) == 1:
                # As a user's own step of the consumer may do.
                message.requeue()

    picky = Picky()
    with Consuming(valkey.url, prefetch=100, on_message=picky) as reader:
        reader.idle(0.1)
        # The pop waits already, so that this one is delivered before it is parked.
        _ring(valkey, "a")
        reader.run(lambda: len(picky.messages) == 2)

        assert [message.headers["id"] for message in picky.messages] == ["a", "a"]
        reader.run(lambda: parked(valkey) == 1)


def test_what_a_pop_brings_when_the_window_has_filled_meanwhile_is_delivered_and_parked(
    valkey: ValkeyServer,
) -> None:
    many = Many()
    with Consuming(valkey.url, prefetch=10, on_message=many) as reader:
        _ring(valkey, "a")
        reader.run(lambda: many.messages)
        # The next pop waits already.
        reader.idle(0.1)
        reader.consumer.qos(prefetch_count=1)
        reader.idle(0.1)

        _ring(valkey, "b", "c")
        reader.run(lambda: len(many.messages) == 2)

        # One in hand for which there was no room, and no pop after it.
        assert [message.headers["id"] for message in many.messages] == ["a", "b"]
        reader.run(lambda: parked(valkey) == 2)
        assert valkey.client().llen("default") == 1


def test_a_queue_whose_consumer_was_exchanged_goes_to_the_new_one(valkey: ValkeyServer) -> None:
    many = Many()
    plain: list[Any] = []
    with Consuming(valkey.url, prefetch=100, on_message=many) as reader:
        other = Consumer(reader.channel, [Queue("default")], on_message=plain.append)
        other.consume()
        _ring(valkey, "a")
        reader.run(lambda: plain)

    assert many.messages == []


def test_a_consumer_without_an_event_loop_is_called_until_nothing_is_left(
    valkey: ValkeyServer,
) -> None:
    fill(valkey, 600)
    got: list[Any] = []

    def take(message: Any) -> None:
        got.append(message)
        message.ack()

    with Connection(valkey.url) as connection:
        consumer = Consumer(connection, [Queue("default")], on_message=take, prefetch_count=10)
        with consumer:
            # Without a time limit: it must return whenever something was delivered.
            while len(got) < 600:
                connection.drain_events()
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.1)

    assert parked(valkey) == 0


def test_a_consumer_without_an_event_loop_takes_what_it_has_a_little_room_for(
    valkey: ValkeyServer,
) -> None:
    fill(valkey, 20)
    got: list[Any] = []
    with Connection(valkey.url) as connection:
        consumer = Consumer(
            connection, [Queue("default")], on_message=got.append, prefetch_count=10
        )
        with consumer:
            connection.drain_events(timeout=5)
            assert len(got) == 10

            got[0].ack()
            connection.drain_events(timeout=5)

    assert len(got) == 11


def test_one_message_is_got_and_acknowledged(valkey: ValkeyServer) -> None:
    fill(valkey, 3)
    with Connection(valkey.url) as connection:
        queue = Queue("default")(connection.default_channel)
        first, second, third = queue.get(), queue.get(), queue.get(no_ack=True)
        assert parked(valkey) == 2
        first.ack()
        second.requeue()

        assert queue.get().payload[0][0] == 1
        assert third.payload[0][0] == 2
        assert queue.get() is None

    assert lying(valkey) == [1]


def test_one_message_is_got_past_what_is_none(valkey: ValkeyServer) -> None:
    valkey.client().lpush("default", "junk", "{}")
    fill(valkey, 1)
    with Connection(valkey.url) as connection:
        message = Queue("default")(connection.default_channel).get()

        assert message.payload[0][0] == 0
    assert valkey.client().llen("celeriac:rejects") == 2


def test_a_key_prefix_is_put_before_every_name(valkey: ValkeyServer) -> None:
    options: Any = {"global_keyprefix": "mine:"}
    with Connection(valkey.url, transport=STOCK, transport_options=options) as stock:
        queue = stock.SimpleQueue("default")
        for number in range(30):
            queue.put([[number], {}, {}], headers={"task": "add", "id": str(number)})
        queue.close()

    with Consuming(valkey.url, prefetch=20, **options) as reader:
        numbers = reader.take(20)
        at_work = parked(valkey)
        valkey.client().lpush("mine:default", "junk")
        reader.messages[0].ack()

    assert numbers == list(range(20))
    assert at_work == 20
    assert valkey.client().llen("mine:default") == 30
    keys: Any = valkey.client().keys("*")
    assert [key for key in keys if not key.startswith(b"mine:")] == []


def test_a_plain_kombu_producer_is_understood(valkey: ValkeyServer) -> None:
    with Connection(valkey.url, transport=STOCK) as stock, stock.Producer() as producer:
        for priority in (9, 0, 5):
            producer.publish(
                [[priority], {"x": "ü"}, {}],
                routing_key="default",
                serializer="json",
                priority=priority,
                headers={"task": "add", "id": "an id", "kept": [1]},
                correlation_id="an id",
            )

    with Consuming(valkey.url) as reader:
        assert reader.take(3) == [0, 5, 9]
        message = reader.messages[0]
        headers = {"task": "add", "id": "an id", "kept": [1]}
        assert headers.items() <= message.headers.items()
        assert message.payload == [[0], {"x": "ü"}, {}]
        assert message.properties["correlation_id"] == "an id"
        assert message.delivery_info["routing_key"] == "default"


@pytest.mark.parametrize("compression", ["zlib", "bzip2", "lzma"])
def test_a_plain_producer_may_compress(valkey: ValkeyServer, compression: str) -> None:
    with Connection(valkey.url, transport=STOCK) as stock, stock.Producer() as producer:
        producer.publish(
            [["x" * 100_000], {}, {}],
            routing_key="default",
            serializer="json",
            compression=compression,
        )

    with Consuming(valkey.url) as reader:
        assert reader.take(1) == ["x" * 100_000]


def test_a_stock_consumer_reads_what_was_given_back(valkey: ValkeyServer) -> None:
    fill(valkey, 3)
    with Consuming(valkey.url) as reader:
        reader.take(3)

    with Connection(valkey.url, transport=STOCK) as stock:
        queue = stock.SimpleQueue("default")
        numbers = [queue.get(timeout=2).payload[0][0] for _ in range(3)]
        queue.close()

    assert numbers == [0, 1, 2]


def test_what_a_stock_worker_left_unacknowledged_is_given_back_to_all(
    valkey: ValkeyServer,
) -> None:
    element = [make_message(7), "", "default"]
    valkey.client().hset("unacked", "tag", json.dumps(element))
    valkey.client().zadd("unacked_index", {"tag": 1.0})

    with Consuming(valkey.url, unacked_restore_throttle=1) as reader:
        assert reader.take(1) == [7]


def _packed(pack: Any) -> Any:
    body = b64encode(pack(b"0" * 30_000_000)).decode()
    kind = {zlib: "gzip", bz2: "bz2", lzma: "lzma"}
    name = next(word for module, word in kind.items() if pack is module.compress)
    return make_message(body=body, headers={"compression": f"application/x-{name}"})


def _twice_packed() -> Any:
    packed = bz2.compress(b"0") + bz2.compress(b"0" * 30_000_000)
    return make_message(
        body=b64encode(packed).decode(), headers={"compression": "application/x-bz2"}
    )


def _without(part: str, name: str = "") -> Any:
    message = make_message()
    if name:
        del message[part][name]
    else:
        del message[part]
    return message


BROKEN: list[bytes | Any] = [
    # No JSON at all, or not the whole of it.
    b"",
    b"junk",
    b"\xff\xfe\x00",
    json.dumps(make_message()).encode()[:-20],
    # JSON of other shapes.
    [],
    {},
    None,
    7,
    "text",
    {"properties": [], "headers": {}, "body": ""},
    {"properties": {}, "headers": {}, "body": ""},
    # Something is missing, or of another kind.
    _without("properties"),
    _without("headers"),
    _without("body"),
    _without("properties", "delivery_tag"),
    _without("properties", "delivery_info"),
    make_message(body=None),
    make_message(body=[1]),
    make_message(headers=[]),
    make_message(**{"content-type": []}),
    make_message(**{"content-encoding": [1]}),
    make_message(properties={"delivery_tag": ["x"]}),
    make_message(properties={"delivery_info": "x"}),
    make_message(properties={"delivery_info": {"routing_key": []}}),
    make_message(properties={"correlation_id": {}}),
    make_message(properties={"reply_to": []}),
    make_message(properties={"body_encoding": "nonsense"}),
    make_message(properties={"body_encoding": []}),
    make_message(headers={"task": []}),
    make_message(headers={"task": {}}),
    make_message(headers={"id": {}}),
    make_message(headers={"id": "a\0b"}),
    make_message(headers={"id": "\ud800"}),
    make_message(headers={"root_id": []}),
    make_message(headers={"retries": "many"}),
    make_message(headers={"expires": []}),
    make_message(headers={"eta": 5}),
    make_message(headers={"timelimit": 5}),
    make_message(headers={"timelimit": [1]}),
    # Kombu's own types, broken.
    make_message(headers={"x": {"__type__": "decimal", "__value__": "x"}}),
    make_message(headers={"x": {"__type__": "nothing", "__value__": 1}}),
    make_message(headers={"x": {"__type__": [], "__value__": 1}}),
    make_message(headers={"x": {"__type__": "uuid", "__value__": 1}}),
    # A body that is no base64.
    make_message(body="?"),
    make_message(body="abc"),
    # Ten megabytes, and what unpacks to thirty.
    make_message(body="A" * 10_000_000),
    _packed(zlib.compress),
    _packed(bz2.compress),
    _packed(lzma.compress),
    _twice_packed(),
    make_message(headers={"compression": "application/x-gzip"}),
    make_message(headers={"compression": "application/x-bz2"}),
    make_message(headers={"compression": "application/x-lzma"}),
    make_message(headers={"compression": "nothing"}),
    make_message(headers={"compression": [1]}),
    # Nested deeper than anybody can follow.
    b'{"headers":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


def _element(broken: Any) -> bytes:
    return broken if isinstance(broken, bytes) else json.dumps(broken).encode()


def test_what_is_no_message_is_put_aside_and_its_neighbours_are_delivered(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = valkey.client()
    for number, broken in enumerate(BROKEN):
        client.lpush("default", _element(broken), json.dumps(make_message(number)))

    with Consuming(valkey.url, prefetch=500) as reader:
        reader.take(len(BROKEN))
        reader.acknowledge()
        reader.run(lambda: parked(valkey) == 0)

        assert client.llen("default") == 0
        assert client.llen("celeriac:rejects") == len(BROKEN)
        assert int(client.get("celeriac:rejected")) == len(BROKEN)
    assert "broken messages were put aside" in caplog.text


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_message_wakes_an_idle_consumer_and_harms_nobody(
    valkey: ValkeyServer, broken: Any
) -> None:
    client: Any = valkey.client()
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.idle(0.01)

        client.lpush("default", _element(broken))
        client.lpush("default", json.dumps(make_message(5)))

        assert reader.take(1) == [5]
        assert client.llen("celeriac:rejects") == 1
        assert parked(valkey) == 1


def test_replies_that_are_none_are_put_aside(valkey: ValkeyServer) -> None:
    valkey.client().lpush("default", "junk", json.dumps(make_message(5)))
    with Consuming(valkey.url, no_ack=True) as reader:
        assert reader.take(1) == [5]

    assert valkey.client().lrange("celeriac:rejects", 0, -1) == [b"junk"]


def test_what_is_put_aside_is_bounded(valkey: ValkeyServer) -> None:
    client: Any = valkey.client()
    client.lpush("default", "x" * 100_000, *(f"junk {number}" for number in range(1500)))
    fill(valkey, 1)
    with Consuming(valkey.url, prefetch=500) as reader:
        reader.take(1)
        reader.run(lambda: client.llen("default") == 0)

    assert client.llen("celeriac:rejects") == 1000
    assert client.lindex("celeriac:rejects", 0) == b"junk 1499"
    assert client.get("celeriac:rejected") == b"1501"


def test_a_broadcast_that_is_none_is_dropped(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = Exchange("news", type="fanout")
    with Consuming(valkey.url) as reader:
        Consumer(
            reader.channel,
            [Queue("news-of-mine", exchange)],
            no_ack=True,
            on_message=reader.messages.append,
        ).consume()
        reader.idle(0.1)

        for broken in BROKEN:
            if len(_element(broken)) < 1_000_000:
                valkey.client().publish("/0.news", _element(broken))
        valkey.client().publish("/0.news", json.dumps(make_message(5)))

        assert reader.take(1)[-1] == 5
    assert "a broken broadcast was dropped" in caplog.text


def test_what_is_no_doorbell_is_taken_out_of_the_middle_when_there_is_no_room(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few at a time that the search has to go on.
    monkeypatch.setattr("celeriac.engine.transport.parking.FOREIGN_DEPTH", 4)
    monkeypatch.setattr("celeriac.engine.transport.taking.FOREIGN_DEPTH", 4)
    bell = {"content-type": CONTENT_TYPE}
    elements = [make_message(each, **({} if each % 5 == 0 else bell)) for each in range(1, 20)]
    valkey.client().lpush("default", *(json.dumps(each) for each in elements))
    left = [each for each in range(3, 20) if each % 5]
    with Consuming(valkey.url, prefetch=2) as reader:
        reader.run(lambda: len(reader.messages) == 2)

        found = [reader.channel.take_foreign(100) for _ in range(8)]

        assert any(found)
        ids = [message.headers["id"] for message in reader.messages]
        assert sorted(ids) == ["task-1", "task-10", "task-15", "task-2", "task-5"]
        assert lying(valkey) == left
        assert parked(valkey) == 5
    assert len(lying(valkey)) == len(elements)


def test_while_there_is_room_messages_come_in_their_order(valkey: ValkeyServer) -> None:
    fill(valkey, 3)
    with Consuming(valkey.url, prefetch=10) as reader:
        assert not reader.channel.take_foreign(100)
        assert reader.take(3) == [0, 1, 2]
