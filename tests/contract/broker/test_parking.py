from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import redis
from celery import Celery

from celeriac.engine.broker import BrokerView
from celeriac.engine.ringer import Ringer
from celeriac.engine.transport.parking import REGISTRY_KEY, Parking
from celeriac.ledger.open import Ledger
from tests.contract.broker.conftest import Monotonic
from tests.contract.broker.consuming import Consuming, fill, lying, parked
from tests.servers.processes import Process
from tests.servers.valkey import ValkeyServer

# Another process that takes messages and keeps them.
KEEPER = """
import sys, time
from tests.contract.broker.consuming import Consuming
reader = Consuming(sys.argv[1], prefetch=int(sys.argv[2]))
reader.take(int(sys.argv[2]))
print("taken")
reader.idle(60)
"""


@pytest.fixture
def view(app: Celery) -> Iterator[BrokerView]:
    made = BrokerView(app)
    yield made
    made.close()


@pytest.fixture
def ringer(app: Celery, view: BrokerView, clock: Monotonic) -> Ringer:
    return Ringer(app.celeriac, view, clock)


@pytest.fixture
def keeper(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Process]:
    """A process that will take ten messages and keep them."""
    command = [sys.executable, "-c", KEEPER, valkey.url, "10"]
    with Process(command, log=tmp_path / "keeper.log") as made:
        yield made


def _registry(valkey: ValkeyServer) -> Any:
    return valkey.client().hgetall(REGISTRY_KEY)


def test_what_a_killed_process_had_taken_is_given_back_in_its_order(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer, keeper: Process
) -> None:
    fill(valkey, 15)
    keeper.wait_for_log("taken")

    keeper.kill()
    ringer.give_back_parked(ledger)

    assert lying(valkey) == list(range(15))
    assert valkey.client().keys("celeriac:park*") == []


def test_what_a_living_process_has_taken_stays_its_own(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer, keeper: Process
) -> None:
    fill(valkey, 15)
    keeper.wait_for_log("taken")

    ringer.give_back_parked(ledger)
    os.kill(keeper.pid, signal.SIGSTOP)
    ringer.give_back_parked(ledger)

    assert lying(valkey) == list(range(10, 15))
    assert parked(valkey) == 10
    keeper.kill()


def test_a_process_that_was_given_another_ones_number_does_not_keep_its_parking(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    fill(valkey, 5)
    with Consuming(valkey.url) as reader:
        reader.take(5)
        ((key, owner),) = _registry(valkey).items()
        machine, pid, _ = json.loads(owner)
        valkey.client().hset(REGISTRY_KEY, key, json.dumps([machine, pid, "earlier"]))

        ringer.give_back_parked(ledger)

        assert lying(valkey) == [0, 1, 2, 3, 4]


def test_what_a_worker_elsewhere_had_taken_is_given_back_when_the_ledger_knows_it_no_more(
    ringer: Ringer, ledger: Ledger, valkey: ValkeyServer
) -> None:
    fill(valkey, 5)
    with Consuming(valkey.url) as reader:
        reader.take(5)
        ((key, _),) = _registry(valkey).items()
        valkey.client().hset(REGISTRY_KEY, key, json.dumps(["elsewhere", 1, "then"]))

        ringer.give_back_parked(ledger)

        assert lying(valkey) == [0, 1, 2, 3, 4]
        assert _registry(valkey) == {}


def test_a_new_connection_of_a_process_finds_what_the_lost_one_had_taken(
    valkey: ValkeyServer,
) -> None:
    fill(valkey, 10)
    lost = Consuming(valkey.url, prefetch=5)
    lost.take(5)
    # As kombu does when the broker is away: nothing can be given back.
    valkey.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    lost.connection._do_close_transport()

    with Consuming(valkey.url, prefetch=20) as reader:
        numbers = reader.take(10)
        lost.messages[0].ack()
        reader.idle(0.1)

        assert sorted(numbers) == list(range(10))
        assert parked(valkey) == 10
        assert len(_registry(valkey)) == 1
    lost.hub.close()


def test_a_step_whose_answer_came_too_late_is_not_made_twice(valkey: ValkeyServer) -> None:
    fill(valkey, 30)
    # As Celery's papers have it; a second try would take ten more in the place of the first ten.
    with Consuming(valkey.url, prefetch=10, socket_timeout=1, retry_on_timeout=True) as reader:
        reader.take(10)
        reader.acknowledge()
        valkey.signal(signal.SIGSTOP)
        going_on = Timer(1.5, valkey.signal, [signal.SIGCONT])
        going_on.start()

        with pytest.raises(redis.TimeoutError):
            reader.run(lambda: reader.messages)
        going_on.join()

    with Consuming(valkey.url) as other:
        assert sorted(other.take(20)) == list(range(10, 30))


def test_what_another_connection_of_a_process_has_taken_stays_its_own(
    valkey: ValkeyServer,
) -> None:
    fill(valkey, 10)
    with Consuming(valkey.url, prefetch=5) as one:
        one.take(5)
        with Consuming(valkey.url, prefetch=3) as other:
            other.take(3)
            assert parked(valkey) == 8

        assert parked(valkey) == 5
        assert lying(valkey) == [5, 6, 7, 8, 9]
        one.messages[0].requeue()
        assert lying(valkey) == [5, 6, 7, 8, 9, 0]


def test_a_parking_is_known_again_after_the_broker_was_wiped(valkey: ValkeyServer) -> None:
    fill(valkey, 5)
    with Consuming(valkey.url) as reader:
        reader.take(5)
        valkey.client().flushall()
        fill(valkey, 5, first=10)

        reader.take(10)

        assert len(_registry(valkey)) == 1


def test_a_broker_that_is_away_at_the_end_keeps_what_was_taken_for_the_next_one(
    tmp_path: Path,
) -> None:
    with ValkeyServer(tmp_path / "durable", is_durable=True) as server:
        fill(server, 10)
        reader = Consuming(server.url, prefetch=5)
        reader.take(5)
        server.kill()

        reader.close()
        server.start()

        with Consuming(server.url) as after:
            assert sorted(after.take(10)) == list(range(10))
            assert len(_registry(server)) == 1


def test_tags_of_two_channels_are_never_equal(valkey: ValkeyServer) -> None:
    fill(valkey, 20)
    one, other = (Parking(valkey.client(), is_used=lambda: True) for _ in range(2))

    taken = [
        *one.take(["default"], queues=1, most=10),
        *other.take(["default"], queues=1, most=10),
    ]

    assert len({each.tag for each in taken}) == 20
    one.end()
    other.end()
    assert len(lying(valkey)) == 20


def test_many_tags_are_acknowledged_in_one_step(valkey: ValkeyServer) -> None:
    parking = Parking(valkey.client(), is_used=lambda: True)
    fill(valkey, 20_000)
    tags = [each.tag for each in parking.take(["default"], queues=1, most=20_000)]

    parking.take([], queues=1, most=0, acknowledged=tags[:15_000])

    assert parked(valkey) == 5000
    assert parking.give_back(tags) == 5000
    assert lying(valkey) == list(range(15_000, 20_000))
    parking.end()
