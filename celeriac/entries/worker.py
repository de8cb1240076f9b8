"""A worker of the app that `CELERIAC_APP` names: `python -m celeriac.entries.worker OPTIONS`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from click import UsageError

from celeriac.engine.command import run_worker
from celeriac.engine.garbage import kept_for_good
from celeriac.engine.troubles import TroubleFile
from celeriac.settings import CODE_FILE, TROUBLES_FILE

if __name__ == "__main__":
    with kept_for_good():
        from celeriac.entries.celery_app import app
        from celeriac.entries.probe import tell

    # `up` asks which code it runs, and what goes wrong; nobody else does.
    answer = os.environ.pop(CODE_FILE, "")
    if troubles := os.environ.pop(TROUBLES_FILE, ""):
        app.celeriac.on_trouble = TroubleFile(Path(troubles)).write
    try:
        code = run_worker(
            app, sys.argv[1:], when_ready=(lambda: tell(app, answer)) if answer else None
        )
    except UsageError as error:
        from celeriac.cli import complain_of_misuse

        # Only Celery's own help tells of the options that go on to it.
        code = complain_of_misuse(error, fix="celeriac worker -- --help says what Celery takes")
    sys.exit(code)
