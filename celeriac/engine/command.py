"""Celery's own `worker` command and Flower's, without the rest of Celery's command line.

`celery.bin.celery` imports every command it knows, a shell with its prompt too, and into a worker
all of Flower: 8 to 13 MB in each process that nobody uses.
"""

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
    from celery.bin.worker import worker

    worker.params.extend(app.user_options.get("worker", ()))
    return _run(worker, words, name="celeriac worker", obj=_context(app))


def run_flower(app: Any, words: Sequence[str]) -> int:
    """Run Flower for an app until it ends, and return its exit code.

    Args:
        app: A Celery app on the ledger.
        words: Options as after `celery -A APP flower`.
    """
    from celery.bin.worker import worker
    from flower.command import flower

    # It looks whether its options are Celery's own, which it finds at the command above it.
    above = flower.context_class(worker, obj=_context(app))
    return _run(flower, words, name="flower", parent=above)


def _context(app: Any) -> Any:
    from celery.bin.base import CLIContext

    return CLIContext(app=app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None, quiet=False)


def _run(command: Any, words: Sequence[str], *, name: str, **facts: Any) -> int:
    try:
        command.main(args=list(words), prog_name=name, **facts)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    raise AssertionError("click ends by itself")
