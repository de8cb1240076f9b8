"""Imports the tasks as a worker would, and writes down what came of it, as JSON.

`python -m celeriac.entries.probe FILE`: `up` asks so before it lets programs take new code.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celeriac.engine.catalogue import Catalogue
from celeriac.engine.modules import ImportProblem, describe_problem
from celeriac.engine.own_code import own_files


def look(app: Any) -> None:
    """Import an app's tasks, and write down what came of it."""
    problems = []
    try:
        app.loader.import_default_modules()
    # The loader of an existing app goes no further than the first module that fails.
    except Exception as error:
        problems = [describe_problem(app.main or "the app", error)]
    tell(app, sys.argv[1], problems)


def tell(app: Any, file: str, problems: Sequence[ImportProblem] = ()) -> None:
    """Write down the names of an app's tasks, the files they come from, and what is wrong."""
    facts = facts_of(app, [*problems, *getattr(app.loader, "problems", ())])
    # Like every file of the data folder it is for its owner alone; and whole, or not there.
    handle = os.open(f"{file}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as answer:
        json.dump(facts, answer)
    Path(f"{file}.new").replace(file)


def facts_of(app: Any, problems: Sequence[ImportProblem]) -> dict[str, Any]:
    """Return what an app has imported, as JSON."""
    return {
        "tasks": Catalogue(app).names(),
        "files": sorted(map(str, own_files())),
        "problems": {each.module: str(each) for each in problems},
    }


if __name__ == "__main__":
    # Imported here: what it raises is the answer, and belongs in our log.
    from celeriac.entries.celery_app import app

    look(app)
