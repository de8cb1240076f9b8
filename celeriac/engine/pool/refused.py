"""The pools that Celery has and Celeriac does not: they would run doorbells without arguments."""

from __future__ import annotations

from typing import Any

from celery.concurrency.base import BasePool
from celery.exceptions import ImproperlyConfigured


class RefusedPool(BasePool):
    """A pool that says which others there are."""

    def __init__(self, *args: Any, **options: Any) -> None:
        raise ImproperlyConfigured(
            "this pool does not run Celeriac's tasks; use --pool=processes, threads or solo"
        )
