from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from celeriac.cli.starting import wait_for_profile, wait_while_starting
from celeriac.up.lock import DataFolderLock
from tests.servers.ports import free_port


class Healthy(http.server.BaseHTTPRequestHandler):
    """Answers as a service does that is well, or that somebody says is starting."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Starting(Healthy):
    """Answers as `up` does for a service that it starts."""

    status = 503


@contextmanager
def serving(handler: type[Healthy], port: int = 0) -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield server.server_port
        server.shutdown()


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

    with ExitStack() as ends:

        def say(line: str) -> None:
            told.append(line)
            ends.enter_context(serving(Healthy, port))

        wait_while_starting(f"http://127.0.0.1:{port}", running_up, say=say, patience=60)

    assert told == ["the service is starting; waiting for it"]


def test_a_service_for_which_up_answers_that_it_is_starting_is_waited_for(
    running_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        monkeypatch.setattr(Starting, "status", 200)

    with serving(Starting) as port:
        wait_while_starting(f"http://127.0.0.1:{port}", running_up, say=say, patience=60)

    assert len(told) == 1


def test_a_socket_that_listens_and_answers_nobody_is_waited_for(
    running_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.cli.starting._ANSWER_SECONDS", 0.05)
    told: list[str] = []

    with socket.create_server(("127.0.0.1", 0)) as held:
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        wait_while_starting(url, running_up, say=told.append, patience=0.2)

    assert len(told) == 1


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


def test_a_service_that_answers_is_not_waited_for(running_up: Path) -> None:
    told: list[str] = []

    with serving(Healthy) as port:
        wait_while_starting(f"http://127.0.0.1:{port}", running_up, say=told.append)

    assert told == []
