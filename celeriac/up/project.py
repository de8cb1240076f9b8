"""What `up` runs: whose tasks, in which folder, by which entries."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from celeriac.errors import ProjectMissingError
from celeriac.settings import is_tasks_file
from celeriac.up.named_app import check_app
from celeriac.wording import WORD_VARIABLE, command_word, own_checkout

_PACKAGED_CELERY = "celeriac.entries.celery_app"
_PACKAGED_WEB = "celeriac.entries.web:app"
_OWN_APP = "celery_app.py"
_OWN_WEB = "main.py"
_OWN_TASKS = "tasks.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A team's tasks and where they lie."""

    # The folder in which the programs run.
    folder: Path
    # What CELERIAC_APP is for the programs; see docs/settings.md.
    app: str
    # What uvicorn is told to serve.
    web: str = _PACKAGED_WEB
    # What Celery's `-A` is told.
    celery: str = _PACKAGED_CELERY
    # Whether somebody edits the code here, so that a change should be taken up at once.
    is_edited: bool

    def environment(self) -> dict[str, str]:
        """Return what a program of this project needs in its environment."""
        found = {"CELERIAC_APP": self.app}
        checkout = own_checkout()
        if checkout is not None:
            # From wherever we were started, the programs find this package too.
            paths = (str(checkout), os.environ.get("PYTHONPATH", ""))
            found["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
            found[WORD_VARIABLE] = command_word()
        return found


def find_project(folder: Path, app: str, *, checkout: Path | None) -> Project:
    """Return what to run.

    Args:
        folder: The one somebody stands in.
        app: The tasks somebody named, as CELERIAC_APP has them; empty when nobody did.
        checkout: Our own checkout, None when we are installed.

    Raises:
        AppMissingError: An app was named that is not there.
        ProjectMissingError: A file was named that is not there.
    """
    if is_tasks_file(app):
        file = folder / app
        if not file.is_file():
            raise ProjectMissingError(str(file))
        return Project(folder=file.parent, app=str(file), is_edited=True)
    if app:
        check_app(app, folder)
        return Project(folder=folder, app=app, is_edited=is_checkout(folder))
    if not (folder / _OWN_APP).exists() and not (folder / _OWN_TASKS).exists() and checkout:
        folder = checkout
    if (folder / _OWN_APP).exists():
        module = Path(_OWN_APP).stem
        web = "main:app" if (folder / _OWN_WEB).exists() else _PACKAGED_WEB
        return Project(folder=folder, app=module, web=web, is_edited=is_checkout(folder))
    # The file may come later: `celeriac init` writes it while others look.
    return Project(folder=folder, app=str(folder / _OWN_TASKS), is_edited=True)


def is_checkout(folder: Path) -> bool:
    """Return whether a folder is under version control."""
    return any((each / ".git").exists() for each in (folder, *folder.parents))
