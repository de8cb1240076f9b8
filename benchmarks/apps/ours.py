"""The tasks on Celeriac, with its default settings."""

from __future__ import annotations

import asyncio
import time

from celeriac import create_celery
from celeriac import task as typed_task

app = create_celery()


@app.task(name="noop")
def noop(number: int) -> int:
    """Give back what came in."""
    return number


@app.task(name="work")
def work(seconds: float) -> float:
    """Take a while."""
    time.sleep(seconds)
    return seconds


@typed_task(name="nap")
async def nap(seconds: float) -> float:
    """Take a while and leave the child to others meanwhile."""
    await asyncio.sleep(seconds)
    return seconds


@typed_task(name="process")
def process(data: str) -> str:
    """Do what the README's sample does."""
    return f"Processed: {data}"
