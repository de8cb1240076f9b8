"""Dramatiq on Redis, results kept."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

_BROKER = os.environ["BENCH_BROKER"]

broker = RedisBroker(url=f"{_BROKER}/0")
broker.add_middleware(Results(backend=RedisBackend(url=f"{_BROKER}/1"), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(number: int) -> int:
    """Give back what came in."""
    return number


def fill(name: str, values: list[float]) -> None:
    """Queue one task per value."""
    for value in values:
        noop.send(value)
