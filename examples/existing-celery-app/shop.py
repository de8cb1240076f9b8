"""An ordinary Celery app. It knows nothing of Celeriac."""

import os
import time

from celery import Celery

REDIS = os.environ.get("SHOP_REDIS", "redis://localhost:6379")
JOURNAL = os.environ.get("SHOP_JOURNAL", "journal.txt")

app = Celery("shop", broker=f"{REDIS}/0", backend=f"{REDIS}/1")
app.conf.broker_connection_retry_on_startup = True
# Whoever watches, such as Flower, is told of each task that is sent.
app.conf.task_send_sent_event = True
# Whoever waits for a long task sees that it has begun.
app.conf.task_track_started = True


def write(line):
    """Add a line to the journal: what a task has done in the world."""
    with open(JOURNAL, "a") as journal:
        journal.write(f"{line}\n")


# Acknowledged before it runs, which is Celery's default: it runs at most once.
@app.task
def charge(order, cents, seconds=0):
    write(f"charge {order}")
    time.sleep(seconds)
    return {"order": order, "cents": cents}


# Acknowledged after it ran: it runs at least once.
@app.task(acks_late=True)
def pack(receipt, seconds=0):
    write(f"pack {receipt['order']}")
    time.sleep(seconds)
    return f"parcel of {receipt['order']}"


@app.task(acks_late=True)
def send(parcel, to):
    write(f"send {parcel} to {to}")
    return f"{parcel}, sent to {to}"


@app.task(bind=True, max_retries=3)
def ask_the_carrier(self, parcel):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    write(f"ask {parcel}")
    return self.request.retries


@app.task
def total(receipts):
    write(f"total of {len(receipts)}")
    return sum(receipt["cents"] for receipt in receipts)


@app.task
def refuse(order):
    raise ValueError(f"no such order: {order}")
