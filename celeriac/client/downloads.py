"""A result written to a file: all of it, or nothing."""

from __future__ import annotations

import secrets
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from celeriac.client.calls import get_result
from celeriac.client.connection import Connection


def download(connection: Connection, task_id: str, to: str | PathLike[str] | BinaryIO) -> None:
    """Write a task's bare result to a file, which is replaced once all has come, or to a stream.

    Raises:
        CeleriacError: The service refused; of the same class as in the service.
        OSError: It cannot be written there.
    """
    call = get_result(task_id)
    if not isinstance(to, str | PathLike):
        connection.download(call, to.write)
        return
    path = Path(to)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("wb") as file:
            connection.download(call, file.write)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
