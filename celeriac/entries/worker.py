"""A worker of the app that `CELERIAC_APP` names: `python -m celeriac.entries.worker OPTIONS`."""

from __future__ import annotations

import sys

from celeriac.engine.command import run_worker

if __name__ == "__main__":
    from celeriac.entries.celery_app import app

    sys.exit(run_worker(app, sys.argv[1:]))
