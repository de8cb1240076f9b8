"""The broker that `up` has started on this machine, for programs that stand beside it.

Each start of `up` has its broker at another port with another password. A program that outlives one
looks up the next one's whenever it connects.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celeriac.settings import Settings, given

# Among the transport options of a connection: the file that tells where the broker is.
FILE_OPTION = "celeriac_broker_file"
_ANSWER_SECONDS = 1.0


def with_local_broker(settings: Settings, environment: Mapping[str, str] | None = None) -> Settings:
    """Return settings with the broker of a running `up` on the same data folder, if there is one.

    A shell or a worker beside it shares its ledger, and with another broker its doorbells would
    ring where nobody listens. A broker that was named wins.
    """
    environment = os.environ if environment is None else environment
    if given("CELERIAC_BROKER_URL", environment) or settings.broker_url != Settings().broker_url:
        return settings
    url = _told_in(settings.broker_file)
    return replace(settings, broker_url=url) if url and _is_there(url) else settings


def find_followed(settings: Settings, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the file that tells at any time where the broker is; None when it stays where it is.

    Args:
        settings: What `with_local_broker` has returned.
        environment: Where a broker may have been named; None is that of this process.
    """
    environment = os.environ if environment is None else environment
    if given("CELERIAC_BROKER_URL", environment):
        return None
    # Before a change of the folder.
    file = settings.broker_file.absolute()
    if settings.broker_url == _told_in(file):
        return file
    default = Settings().broker_url
    # One of its own at the usual place is no less a broker than that of an `up` to come.
    return file if settings.broker_url == default and not _is_there(default) else None


def is_of_up(settings: Settings) -> bool:
    """Return whether the broker is the one that an `up` on the same data folder has started."""
    return settings.broker_url == _told_in(settings.broker_file)


def locate(app: Any, settings: Settings) -> str:
    """Return the URL of an app's broker as it is now, for whoever speaks to it without Celery."""
    file = (app.conf.broker_transport_options or {}).get(FILE_OPTION)
    if file:
        return _told_in(Path(file)) or settings.broker_url
    own = str(app.conf.broker_url or "")
    # An app that has moved by itself keeps its broker. What Celery needs beside a URL of another
    # kind (TLS, sentinels) does not stand in it.
    return own if own.startswith("redis://") else settings.broker_url


def follow(connection: Any) -> None:
    """Have a connection of kombu, not yet made, lead to where the broker is now.

    Args:
        connection: One whose transport options may name a file that tells.
    """
    if not is_followed(connection):
        return
    url = _told_in(Path(connection.transport_options[FILE_OPTION]))
    parts = urlsplit(url)
    # A broker inside another process cannot be reached; without a word it is where it was.
    if parts.scheme == "redis":
        connection.hostname, connection.port = parts.hostname, parts.port
        connection.password = parts.password


def is_followed(connection: Any) -> bool:
    """Return whether a connection of kombu leads to wherever the broker is."""
    return FILE_OPTION in (connection.transport_options or {})


def answers(host: str, port: int) -> bool:
    """Return whether somebody accepts connections at an address."""
    try:
        socket.create_connection((host, port), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


def _told_in(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _is_there(url: str) -> bool:
    # The file outlives an `up` that was killed.
    parts = urlsplit(url)
    return answers(parts.hostname or "", parts.port or 0)
