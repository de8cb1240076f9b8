"""A service of this machine that is about to answer: waited for instead of complained about."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from celeriac.up.lock import is_held

# Longer than a worker and a service need to start again with changed tasks, on a busy machine.
PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_ANSWER_SECONDS = 2.0


def wait_for_profile(
    path: Path, data_dir: Path, *, say: Callable[[str], None], patience: float = PATIENCE_SECONDS
) -> None:
    """Return when an `up` that runs here has written its profile, or when none runs.

    It does so when everything is ready, and somebody may be quicker than that.
    """
    _wait(path.exists, data_dir, say=say, patience=patience)


def wait_while_starting(
    url: str,
    data_dir: Path,
    *,
    say: Callable[[str], None],
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Return when the service answers, or when nothing says that it soon will.

    An `up` that takes up changed tasks starts its service again; for some seconds nobody answers,
    though whoever asks may be kept waiting for the one that will.

    Args:
        url: Where the service is, by the profile that this `up` wrote.
        data_dir: Where that `up` runs.
        say: Where to tell that something is waited for.
        patience: Seconds after which the caller may find out by itself.
    """
    _wait(lambda: _answers(url), data_dir, say=say, patience=patience)


def _wait(
    is_there: Callable[[], bool], data_dir: Path, *, say: Callable[[str], None], patience: float
) -> None:
    deadline = time.monotonic() + patience
    has_told = False
    while not is_there() and is_held(data_dir) and time.monotonic() < deadline:
        if not has_told:
            say("the service is starting; waiting for it")
            has_told = True
        time.sleep(_PAUSE_SECONDS)


def _answers(url: str) -> bool:
    # Whoever only waits for tasks needs none of it.
    from http.client import SERVICE_UNAVAILABLE, HTTPConnection, HTTPException

    parts = urlsplit(url)
    try:
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_ANSWER_SECONDS)
    except (HTTPException, ValueError):
        return False
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        return connection.getresponse().status != SERVICE_UNAVAILABLE
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
