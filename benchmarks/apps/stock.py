"""Stock Celery in its best reasonable setting: late ack, results in Redis, a long prefetch."""

from __future__ import annotations

import os
import time

from celery import Celery

_BROKER = os.environ["BENCH_BROKER"]

app = Celery("stock", broker=f"{_BROKER}/0", backend=f"{_BROKER}/1")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=100,
    broker_connection_retry_on_startup=True,
    task_default_queue="default",
)


@app.task(name="noop")
def noop(number: int) -> int:
    """Give back what came in."""
    return number


@app.task(name="work")
def work(seconds: float) -> float:
    """Take a while."""
    time.sleep(seconds)
    return seconds


@app.task(name="process")
def process(data: str) -> str:
    """Do what the README's sample does."""
    return f"Processed: {data}"


def fill(name: str, values: list[float]) -> None:
    """Queue one task per value."""
    with app.producer_or_acquire() as producer, producer.batch():
        for value in values:
            app.tasks[name].apply_async((value,), producer=producer)
