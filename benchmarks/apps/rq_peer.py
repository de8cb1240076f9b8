"""RQ, results kept; its simple worker runs tasks without a fork for each."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue


def noop(number: int) -> int:
    """Give back what came in."""
    return number


def fill(name: str, values: list[float]) -> None:
    """Queue one task per value."""
    queue = Queue("bench", connection=Redis.from_url(f"{os.environ['BENCH_BROKER']}/0"))
    made = [Queue.prepare_data(noop, (value,), result_ttl=3600) for value in values]
    for start in range(0, len(made), 500):
        queue.enqueue_many(made[start : start + 500])
