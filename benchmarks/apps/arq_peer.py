"""arq, tuned: many tasks at once, short pauses, results kept."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

_SETTINGS = RedisSettings.from_dsn(f"{os.environ['BENCH_BROKER']}/0")


async def noop(context: Any, number: int) -> int:
    """Give back what came in."""
    return number


async def process(context: Any, data: str) -> str:
    """Do what the README's sample does."""
    return f"Processed: {data}"


class WorkerSettings:
    """What the worker of arq reads."""

    functions = (noop, process)
    redis_settings = _SETTINGS
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 3600


def fill(name: str, values: list[float]) -> None:
    """Queue one task per value."""

    async def send() -> None:
        pool = await create_pool(_SETTINGS)
        for value in values:
            await pool.enqueue_job(name, value)
        await pool.aclose()

    asyncio.run(send())
