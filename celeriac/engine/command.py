"""Celery's own `worker` command, without the rest of its command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


def run_worker(app: Any, words: Sequence[str]) -> int:
    """Run a worker of an app until it ends, and return its exit code.

    Args:
        app: A Celery app on the ledger.
        words: Options as after `celery -A APP worker`.
    """
    # Not `celery.bin.celery`: it imports every command, Flower's and a shell's too. That is 13 MB
    # in each process of the worker.
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    worker.params.extend(app.user_options.get("worker", ()))
    context = CLIContext(
        app=app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None, quiet=False
    )
    try:
        worker.main(args=list(words), prog_name="celeriac worker", obj=context)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    raise AssertionError("click ends by itself")
