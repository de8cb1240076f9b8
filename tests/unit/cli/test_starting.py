from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.cli.starting import wait_for_profile, wait_while_starting
from celeriac.up.lock import DataFolderLock
from tests.servers.ports import free_port


@pytest.fixture
def running_up(tmp_path: Path) -> Iterator[Path]:
    """The data folder of an `up` that runs."""
    lock = DataFolderLock(tmp_path)
    lock.acquire()
    yield tmp_path
    lock.release()


def test_a_service_that_comes_back_is_waited_for(running_up: Path) -> None:
    port = free_port()
    told: list[str] = []
    servers: list[socket.socket] = []

    def say(line: str) -> None:
        told.append(line)
        threading.Timer(
            0.3, lambda: servers.append(socket.create_server(("127.0.0.1", port)))
        ).start()

    wait_while_starting(f"http://127.0.0.1:{port}", running_up, say=say, patience=60)

    assert told == ["the service is starting; waiting for it"]
    assert len(servers) == 1
    servers[0].close()


def test_a_profile_that_is_about_to_be_written_is_waited_for(running_up: Path) -> None:
    profile = running_up / "profile.json"
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        threading.Timer(0.3, profile.touch).start()

    wait_for_profile(profile, running_up, say=say, patience=60)

    assert profile.exists()
    assert len(told) == 1


def test_without_an_up_nobody_waits(tmp_path: Path) -> None:
    told: list[str] = []

    wait_while_starting(f"http://127.0.0.1:{free_port()}", tmp_path, say=told.append, patience=60)

    assert told == []


def test_nobody_waits_for_ever(running_up: Path) -> None:
    told: list[str] = []

    wait_while_starting(
        f"http://127.0.0.1:{free_port()}", running_up, say=told.append, patience=0.3
    )

    assert len(told) == 1


def test_a_service_that_listens_is_not_waited_for(running_up: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        told: list[str] = []

        wait_while_starting(
            f"http://127.0.0.1:{server.getsockname()[1]}", running_up, say=told.append
        )

    assert told == []
