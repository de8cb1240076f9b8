"""What Celeriac adds to the options of `celery worker`."""

from __future__ import annotations

from typing import Any

import click
from celery import Celery, bootsteps


class AsyncSlotsStep(bootsteps.Step):
    """Takes `--async-slots` off a worker's command line, before its pool starts."""

    def __init__(self, worker: Any, async_slots: int | None = None, **options: Any) -> None:
        super().__init__(worker, **options)
        if async_slots is not None:
            worker.app.celeriac.async_slots = async_slots


def add_to(app: Celery) -> None:
    """Give an app's workers our options."""
    app.user_options["worker"].add(
        click.Option(
            ("--async-slots",),
            type=click.IntRange(1, 10_000),
            help="How many async tasks run at a time in one process (CELERIAC_ASYNC_SLOTS).",
        )
    )
    app.steps["worker"].add(AsyncSlotsStep)
