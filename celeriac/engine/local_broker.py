"""The broker that `up` has started on this machine, for programs that stand beside it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from celeriac.settings import Settings, given

_ANSWER_SECONDS = 1.0


def with_local_broker(settings: Settings, environment: Mapping[str, str] | None = None) -> Settings:
    """Return settings with the broker of a running `up` on the same data folder, if there is one.

    A shell or a worker beside it shares its ledger, and with another broker its doorbells would
    ring where nobody listens. A broker that was named wins.
    """
    environment = os.environ if environment is None else environment
    if given("CELERIAC_BROKER_URL", environment) or settings.broker_url != Settings().broker_url:
        return settings
    try:
        url = settings.broker_file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return settings
    return replace(settings, broker_url=url) if _is_there(url) else settings


def answers(host: str, port: int) -> bool:
    """Return whether somebody accepts connections at an address."""
    try:
        socket.create_connection((host, port), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


def _is_there(url: str) -> bool:
    # The file outlives an `up` that was killed.
    parts = urlsplit(url)
    return answers(parts.hostname or "", parts.port or 0)
