"""Where the browser is: the system's own Chromium, installed once where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "chromium")


def find_chromium() -> str:
    """Return the browser's path.

    Raises:
        AssertionError: There is none and it cannot be installed here; says what helps.
    """
    found = _look()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(("apt-get", "update"), check=False, capture_output=True)
        subprocess.run(_INSTALL, check=False, capture_output=True)
        found = _look()
    assert found, f"there is no Chromium: {' '.join(_INSTALL)} (as root), or install Google Chrome"
    return found


def _look() -> str | None:
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return found
    return str(_MAC) if _MAC.exists() else None
