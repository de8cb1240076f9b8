"""Stock Celery in its best reasonable setting: late ack, results in Redis, a long prefetch."""

import os

from celery import Celery

app = Celery("stock", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BROKER"])
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
