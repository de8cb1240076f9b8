"""The HTTP service of the tasks that `CELERIAC_APP` names: `uvicorn celeriac.entries.web:app`."""

from __future__ import annotations

import sys

from celeriac.entries.celery_app import app as celery
from celeriac.errors import SettingsError
from celeriac.web.app import create_web

try:
    app = create_web(celery)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
