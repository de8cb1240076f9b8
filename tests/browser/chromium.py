"""Where the browser is: the system's own Chromium, installed once where that is possible."""

from __future__ import annotations

from pathlib import Path

from tests.servers.debian import find_program

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find_chromium() -> str:
    """Return the browser's path.

    Raises:
        AssertionError: There is none and it cannot be installed here; says what helps.
    """
    return str(_MAC) if _MAC.exists() else find_program(*_NAMES, package="chromium")
