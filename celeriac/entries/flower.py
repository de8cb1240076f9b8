"""Flower for the app that `CELERIAC_APP` names: `python -m celeriac.entries.flower OPTIONS`."""

from __future__ import annotations

import sys

from celeriac.engine.command import run_flower

if __name__ == "__main__":
    from celeriac.entries.celery_app import app

    sys.exit(run_flower(app, sys.argv[1:]))
