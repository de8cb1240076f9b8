"""A broker that refuses, is silent, or forgets: Valkey, Redis, and the oldest Redis that we serve.

Each says no in its own way: to a script, in a transaction, to a command that only reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer
from redis.exceptions import ResponseError

from tests.contract.broker.consuming import Consuming, fill, lying, parked
from tests.servers.line import Line
from tests.servers.processes import wait_until
from tests.servers.redis import OldRedisServer, RedisServer
from tests.servers.valkey import ValkeyServer

PRODUCTS = {"valkey": ValkeyServer, "redis": RedisServer, "old-redis": OldRedisServer}


@pytest.fixture(scope="module", params=PRODUCTS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    """A broker of each product."""
    with PRODUCTS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


def test_a_message_is_parked_acknowledged_and_given_back(valkey: ValkeyServer) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(10)
        assert parked(valkey) == 10
        reader.acknowledge()
        assert reader.take(10) == list(range(10, 20))
        reader.run(lambda: parked(valkey) == 10)

    assert lying(valkey) == list(range(10, 20))
    assert valkey.client().keys("celeriac:*") == []


def test_a_broker_whose_memory_is_full_still_hands_out_and_parks(valkey: ValkeyServer) -> None:
    client: Any = valkey.client()
    fill(valkey, 20)
    client.lpush("default", "junk")
    client.config_set("maxmemory", 1)
    try:
        with Consuming(valkey.url, prefetch=15) as reader:
            reader.take(15)
            assert parked(valkey) == 15
            reader.acknowledge()
            assert reader.take(5) == [15, 16, 17, 18, 19]
            reader.run(lambda: client.llen("default") == 0)
            reader.messages[0].requeue()
        # What was held when it closed is there again, too.
        assert lying(valkey) == [16, 17, 18, 19, 15]
        assert client.llen("celeriac:rejects") == 0
    finally:
        client.config_set("maxmemory", 0)


def test_a_broker_that_only_reads_is_tried_again_until_it_writes(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = valkey.client()
    fill(valkey, 30)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(10)
        client.replicaof("127.0.0.1", 1)
        reader.acknowledge()

        reader.idle(1.0)
        meanwhile = reader.numbers
        warnings = caplog.text.count("the broker refuses to serve")
        client.replicaof("no", "one")

        assert reader.take(10) == list(range(10, 20))
        assert parked(valkey) == 10
    assert meanwhile == []
    assert 1 <= warnings <= 8


def test_a_broker_that_pauses_is_waited_for(valkey: ValkeyServer) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(10)
        reader.acknowledge()

        valkey.client().client_pause(700, all=True)
        began = time.monotonic()

        assert reader.take(10) == list(range(10, 20))
        assert time.monotonic() - began >= 0.5


def test_a_broker_that_forgot_its_scripts_learns_them_again(valkey: ValkeyServer) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(10)
        valkey.client().script_flush()
        reader.acknowledge()

        assert reader.take(10) == list(range(10, 20))


def test_a_consumer_starts_although_the_memory_is_full(valkey: ValkeyServer) -> None:
    client: Any = valkey.client()
    fill(valkey, 5, queue="orders")
    client.config_set("maxmemory", 1)
    try:
        with Consuming(valkey.url) as reader:
            queues = [
                Queue("orders", Exchange("shop"), routing_key="order"),
                # As remote control declares its own.
                Queue("tidings", Exchange("tidings", type="fanout"), expires=10.0),
            ]
            Consumer(reader.channel, queues, on_message=reader.messages.append).consume()

            assert reader.take(5) == [0, 1, 2, 3, 4]
            assert reader.channel.get_table("shop") == [("order", "", "orders")]
    finally:
        client.config_set("maxmemory", 0)


def test_a_broker_that_cannot_save_is_tried_again_until_it_writes(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    fill(valkey, 20)
    with Consuming(valkey.url, prefetch=10) as reader:
        reader.take(10)
        with unable_to_save(valkey):
            reader.acknowledge()

            reader.idle(0.7)
            assert reader.numbers == []

        assert reader.take(10) == list(range(10, 20))
        assert parked(valkey) == 10
    assert "the broker refuses to serve" in caplog.text


@contextmanager
def unable_to_save(valkey: ValkeyServer) -> Iterator[None]:
    """Have the broker answer MISCONF to whoever writes, as it does when its disk is full."""
    client: Any = valkey.client()
    # A file cannot take a folder's place.
    in_the_way = valkey.folder / "dump.rdb"
    in_the_way.mkdir()
    client.config_set("save", "3600 1000000")
    client.bgsave()
    wait_until(
        lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot save"
    )
    with pytest.raises(ResponseError, match="MISCONF"):
        client.set("anything", 1)
    yield
    client.config_set("save", "")
    in_the_way.rmdir()


def test_a_line_that_is_silently_cut_is_made_anew(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = valkey.client()
    fill(valkey, 1)
    with (
        Line(valkey.port) as line,
        Consuming(line.url(valkey.url), prefetch=10, socket_timeout=1) as reader,
    ):
        reader.take(1)
        reader.run(lambda: reader.channel._in_poll)

        line.die()
        # What the dead pop would take goes nowhere; the janitor rings for it again.
        wait_until(lambda: not client.info("clients")["blocked_clients"], "the dead pop is over")
        fill(valkey, 2, first=1)

        assert reader.take(3) == [0, 1, 2]
        reader.acknowledge()
        reader.run(lambda: parked(valkey) == 0)
    assert caplog.text.count("the broker is silent") == 1


def test_whoever_waits_for_an_answer_waits_for_seconds(
    valkey: ValkeyServer,
) -> None:
    with Consuming(valkey.url) as ours, Consuming(valkey.url, socket_timeout=33) as asked:
        assert ours.channel.pool.connection_kwargs["socket_timeout"] == 10
        assert ours.channel.async_pool.connection_kwargs["socket_connect_timeout"] == 10
        assert asked.channel.pool.connection_kwargs["socket_timeout"] == 33
