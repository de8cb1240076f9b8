"""Loading the modules of an app, so that a broken one leaves the others standing."""

from __future__ import annotations

from typing import Any

from celery import signals
from celery.loaders.app import AppLoader
from celery.utils.imports import cwd_in_path

from celeriac.engine.modules import ImportProblem, import_task_modules


class TolerantLoader(AppLoader):
    """Celery's loader, going on when a task module fails to import."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What is wrong with the modules that are left out, for whoever shows it.
        self.problems: tuple[ImportProblem, ...] = ()

    def import_default_modules(self) -> list[Any]:
        """Import every task module that can be imported; the others are logged and left out."""
        for _, response in signals.import_modules.send(sender=self.app):
            # Celery's autodiscovery answers with what it raised.
            if isinstance(response, Exception):
                raise response
        # As Celery's own does: the command `celery` does not look in the folder it was called in.
        with cwd_in_path():
            self.problems = import_task_modules(sorted(map(str, self.default_modules)))
        return []
