"""The code of the tasks: in which files it stands, and which version of it this process has."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from celeriac.engine.catalogue import Catalogue
from celeriac.engine.modules import is_of_library

_LENGTH = 12


def code_version(app: Any) -> str:
    """Return a word that differs when the modules with tasks do; empty when there are none.

    It goes by what the files hold when this is called, and by no path: two machines with the same
    code say the same.
    """
    digest = hashlib.sha256()
    modules = sorted({str(app.tasks[name].__module__) for name in Catalogue(app).names()})
    for name in modules:
        file = _file_of(sys.modules.get(name))
        digest.update(f"{name}\0".encode())
        digest.update(b"" if file is None else _bytes_of(file))
    return digest.hexdigest()[:_LENGTH] if modules else ""


def own_files() -> frozenset[Path]:
    """Return the files of every module that was imported and belongs to no library."""
    files = (_file_of(module) for module in list(sys.modules.values()))
    return frozenset(file for file in files if file is not None and not is_of_library(str(file)))


def _file_of(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name) if isinstance(name, str) and name.endswith(".py") else None


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        # Packed into an archive, or gone since.
        return b""
