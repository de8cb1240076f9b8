"""taskiq on a Redis list: no acknowledgement, results kept."""

from __future__ import annotations

import asyncio
import os

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

_BROKER = os.environ["BENCH_BROKER"]

broker = ListQueueBroker(f"{_BROKER}/0").with_result_backend(
    RedisAsyncResultBackend(f"{_BROKER}/1")
)


@broker.task
async def noop(number: int) -> int:
    """Give back what came in."""
    return number


def fill(name: str, values: list[float]) -> None:
    """Queue one task per value."""

    async def send() -> None:
        await broker.startup()
        for value in values:
            await noop.kiq(value)
        await broker.shutdown()

    asyncio.run(send())
