"""Huey on Redis: pops and runs, results kept."""

from __future__ import annotations

import os

from huey import RedisHuey

huey = RedisHuey("bench", url=f"{os.environ['BENCH_BROKER']}/0", blocking=True)


@huey.task()
def noop(number: int) -> int:
    """Give back what came in."""
    return number


def fill(name: str, values: list[float]) -> None:
    """Queue one task per value."""
    for value in values:
        noop(value)
