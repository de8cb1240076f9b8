"""A plain Celery app with a task of the same name as one of ours."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from tests.effects import Effects

app = Celery("stock", broker=os.environ["STOCK_BROKER_URL"])


@app.task(name="tests.integration.apps.conformance.mark")
def mark(key: str) -> str:
    """Leave a line that must never be there."""
    Effects(Path(os.environ["EFFECTS_FILE"])).add(key, pid=os.getpid(), text="stock")
    return key
