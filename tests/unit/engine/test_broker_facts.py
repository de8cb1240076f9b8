from __future__ import annotations

from typing import Any

import pytest

from celeriac.engine.broker_facts import ask_broker, facts_of_info
from celeriac.errors import BrokerUnavailableError
from tests.servers.ports import free_port


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"valkey_version": "9.1.0", "redis_version": "7.2.4"}, ("Valkey 9.1.0", None, None)),
        (
            {"redis_version": "8.0", "maxmemory_policy": "allkeys-lru", "aof_enabled": 1},
            ("Redis 8.0", "allkeys-lru", True),
        ),
        # A hosted one may hide everything.
        ({}, ("Redis", None, None)),
    ],
)
def test_what_a_broker_says_of_itself_is_read(info: dict[str, Any], told: tuple[Any, ...]) -> None:
    facts = facts_of_info(info, answer_seconds=0.1)

    assert (facts.product, facts.eviction_policy, facts.is_persistent) == told
    assert not facts.is_write_failing


def test_a_broker_that_cannot_write_says_so() -> None:
    assert facts_of_info({"aof_last_write_status": "err"}, answer_seconds=0).is_write_failing


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_is_told(scheme: str) -> None:
    with pytest.raises(BrokerUnavailableError):
        ask_broker(f"{scheme}://127.0.0.1:{free_port()}/0")


def test_a_broker_of_another_kind_only_says_that_it_is_there() -> None:
    facts = ask_broker("memory://")

    assert facts.eviction_policy is None
    assert facts.answer_seconds >= 0
