"""A checkout in which nothing was ever started."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.processes import PROJECT

_NOT_IN_A_CLONE = (".venv", ".celeriac", ".git", "__pycache__", ".*_cache", ".hypothesis", "build")


def make_clone(folder: Path) -> Path:
    """Copy what a clone would hold into a folder, and return it."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*_NOT_IN_A_CLONE))
    return folder


def package_cache() -> dict[str, str]:
    """Return where uv keeps what it has downloaded, so that a test run does not do so again."""
    uv = shutil.which("uv")
    if uv is None:
        return {}
    done = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=False)
    return {"UV_CACHE_DIR": done.stdout.strip() or os.environ.get("UV_CACHE_DIR", "")}
