"""The HTTP service: `uvicorn main:app`."""

from __future__ import annotations

import sys

from celeriac.errors import SettingsError
from celeriac.web.app import create_web
from celery_app import app as celery

try:
    app = create_web(celery)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
