"""A task of a reusable library, which does not know the app it will run in."""

from __future__ import annotations

from celery import shared_task


@shared_task
def double(x: int) -> int:
    """Return twice the value."""
    return 2 * x
