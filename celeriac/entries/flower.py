"""Flower for the app that `CELERIAC_APP` names: `python -m celeriac.entries.flower OPTIONS`."""

from __future__ import annotations

import sys

from celeriac.engine.command import run_flower
from celeriac.engine.garbage import kept_for_good

if __name__ == "__main__":
    with kept_for_good():
        from celeriac.entries.celery_app import app

    sys.exit(run_flower(app, sys.argv[1:]))
