"""Celeriac runs Python functions in the background, and remembers every run.

Names are handed on when they are first asked for (PEP 562), so that a program that only calls a
service never imports Celery.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.client import Client as Client
    from celeriac.client import Handle as Handle
    from celeriac.engine.app import create_celery as create_celery
    from celeriac.engine.app import install as install
    from celeriac.engine.authoring import Fail as Fail
    from celeriac.engine.authoring import current as current
    from celeriac.engine.authoring import progress as progress
    from celeriac.engine.authoring import task as task
    from celeriac.files.file import File as File
    from celeriac.settings import Settings as Settings

__version__ = "0.1.0"

_HOMES = {
    "Client": "celeriac.client",
    "Fail": "celeriac.engine.authoring",
    "File": "celeriac.files.file",
    "Handle": "celeriac.client",
    "Settings": "celeriac.settings",
    "create_celery": "celeriac.engine.app",
    "current": "celeriac.engine.authoring",
    "install": "celeriac.engine.app",
    "progress": "celeriac.engine.authoring",
    "task": "celeriac.engine.authoring",
}

__all__ = [
    "Client",
    "Fail",
    "File",
    "Handle",
    "Settings",
    "__version__",
    "create_celery",
    "current",
    "install",
    "progress",
    "task",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the room where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module 'celeriac' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from celeriac.wording import checkout_python

        own = checkout_python()
        if own is None:
            raise
        # A chain through the inside of our package would say no more.
        raise ModuleNotFoundError(
            f"celeriac needs {error.name}, which {sys.executable} does not have; "
            f"run it with {own} (`python run.py` makes it)",
            name=error.name,
        ) from None
