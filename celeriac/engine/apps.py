"""Finding the Celery app that somebody names, or making one around a file with tasks."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.app.utils import find_app as find_celery_app

from celeriac.engine.app import create_celery, install
from celeriac.engine.broker_options import celery_options
from celeriac.engine.catalogue import Catalogue
from celeriac.engine.local_broker import FILE_OPTION, find_followed, is_of_up
from celeriac.engine.unheeded import tell_unheeded
from celeriac.errors import SettingsError
from celeriac.settings import Settings, given, is_tasks_file


def find_app(settings: Settings, *, samples: Iterable[str] = ()) -> Celery:
    """Return the app that the settings name, moved onto the ledger if it was not there.

    A file may hold an app of its own, or tasks alone. One that is not there, or that cannot be
    imported, leaves the samples standing: it may come, or be mended, while others look.

    Args:
        settings: How it shall run.
        samples: Modules with tasks that go with a file of tasks.

    Raises:
        SettingsError: There is no such app, or it cannot be moved.
    """
    if is_tasks_file(settings.app):
        return _app_of_file(Path(settings.app), settings, samples)
    if settings.app:
        return _moved(_named(settings.app), settings)
    return create_celery(settings, include=samples)


def serve_own_queues(app: Celery) -> None:
    """Have a worker that is told no queues serve those of the settings and of every task."""

    def choose(**_: Any) -> None:
        app.amqp.queues.select(own_queues(app))

    # The task modules are imported by then, and `-Q` is looked at after.
    signals.celeryd_init.connect(choose, weak=False)


def own_queues(app: Celery) -> list[str]:
    """Return the queues of an app's settings and of every task it knows."""
    settings: Settings = app.celeriac.settings
    known = {str(name) for name in app.amqp.queues} | Catalogue(app).queues()
    return sorted(known | set(settings.queues))


def _app_of_file(file: Path, settings: Settings, samples: Iterable[str]) -> Celery:
    if not file.exists():
        return create_celery(settings, include=samples)
    folder = str(file.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    app = _app_in(file.stem)
    if app is not None:
        return _moved(app, settings)
    return create_celery(settings, include=[file.stem, *samples])


def _app_in(module: str) -> Celery | None:
    try:
        found = vars(importlib.import_module(module))
    # The user's code may raise anything. The loader imports it once more, and tells.
    except (Exception, SystemExit):
        return None
    return next((each for each in found.values() if isinstance(each, Celery)), None)


def _named(name: str) -> Celery:
    try:
        found = find_celery_app(name)
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not name.startswith(error.name or "\0"):
            # It is there, and what it imports is not: that is to be seen where it happened.
            raise
        allowed = f"MODULE:ATTRIBUTE of a Celery app, or a FILE.py with tasks ({error})"
        raise SettingsError("CELERIAC_APP", name, allowed) from error
    if not isinstance(found, Celery):
        raise SettingsError("CELERIAC_APP", name, "MODULE:ATTRIBUTE of a Celery app")
    return found


def _moved(app: Celery, settings: Settings) -> Celery:
    own_broker = str(app.conf.broker_read_url or app.conf.broker_url or "")
    if not hasattr(app, "celeriac"):
        # A broker that was named wins over the app's own. So does that of an `up` beside us: its
        # ledger is ours, and with two brokers doorbells would ring where nobody listens.
        if given("CELERIAC_BROKER_URL", os.environ) or is_of_up(settings):
            _lead_to(app, settings)
        app.set_default()
        # Its producers may know nothing of us.
        install(app, settings, adopt=True)
    tell_unheeded(app, settings, own_broker=own_broker)
    return app


def _lead_to(app: Celery, settings: Settings) -> None:
    broker = celery_options(settings.broker_url)
    options = {
        **(app.conf.broker_transport_options or {}),
        **broker.pop("broker_transport_options", {}),
    }
    followed = find_followed(settings)
    if followed is not None:
        options[FILE_OPTION] = str(followed)
    url = broker["broker_url"]
    # Its own broker may have been reached by TLS, or with options that mean nothing to this one.
    broker.setdefault("broker_use_ssl", None)
    app.conf.update(
        **broker, broker_read_url=url, broker_write_url=url, broker_transport_options=options
    )
