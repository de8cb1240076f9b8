"""The HTTP service of our tasks."""

from __future__ import annotations

from benchmarks.apps.ours import app as celery
from celeriac.web.app import create_web

app = create_web(celery)
