"""The Celery app that `CELERIAC_APP` names: `celery -A celeriac.entries.celery_app worker`."""

from __future__ import annotations

import sys

from celeriac.engine.apps import find_app, serve_own_queues
from celeriac.engine.local_broker import with_local_broker
from celeriac.errors import SettingsError
from celeriac.samples import modules_for
from celeriac.settings import Settings

try:
    settings = with_local_broker(Settings.from_environment())
    app = find_app(settings, samples=modules_for(settings))
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
serve_own_queues(app)
