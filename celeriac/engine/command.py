"""Celery's own `worker` command and Flower's, without the rest of Celery's command line.

`celery.bin.celery` imports every command it knows, a shell with its prompt too, and into a worker
all of Flower: 8 to 13 MB in each process that nobody uses.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from typing import Any

from celeriac.engine.garbage import kept_for_good
from celeriac.wording import as_typed_here


def run_worker(
    app: Any, words: Sequence[str], *, when_ready: Callable[[], None] | None = None
) -> int:
    """Run a worker of an app until it ends, and return its exit code.

    Args:
        app: A Celery app on the ledger.
        words: Options as after `celery -A APP worker`.
        when_ready: Called once it takes tasks.

    Raises:
        UsageError: The words make no sense to Celery.
    """
    # Its pool looks for garbage again, once it has started: most is imported on the way to there.
    gc.disable()
    from celery import signals
    from celery.bin.worker import worker
    from click import Abort

    if when_ready is not None:
        signals.worker_ready.connect(lambda **_: when_ready(), weak=False)

    worker.params.extend(app.user_options.get("worker", ()))
    name = as_typed_here("celeriac worker")
    try:
        # Left to itself, click tells in its own words of some that make no sense.
        return _run(worker, words, name=name, obj=_context(app), standalone_mode=False)
    except Abort:
        return 1
    finally:
        gc.enable()


def run_flower(app: Any, words: Sequence[str]) -> int:
    """Run Flower for an app until it ends, and return its exit code.

    Args:
        app: A Celery app on the ledger.
        words: Options as after `celery -A APP flower`.
    """
    with kept_for_good():
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
        ending = command.main(args=list(words), prog_name=name, **facts)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return ending if isinstance(ending, int) else 0
