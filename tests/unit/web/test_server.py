from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from uvicorn import Config

from celeriac.web.server import Server, inherited_sockets
from tests.servers.processes import wait_until


async def greet(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer every request."""
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


class Service:
    """A server in a thread, on a socket that we hold."""

    def __init__(self) -> None:
        self.held = socket.create_server(("127.0.0.1", 0))
        self.port = self.held.getsockname()[1]
        self.sockets = inherited_sockets([os.dup(self.held.fileno())])
        self.server = Server(Config(greet, lifespan="off", log_config=None))
        self.thread = threading.Thread(target=self.server.run, args=(self.sockets,))

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to it that is open."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.connect()
        return connection

    def begin_to_end(self) -> None:
        """Return when it takes no more connections."""
        self.server.should_exit = True
        wait_until(lambda: not self.server.servers[0].is_serving(), "it is ending", pause=0.01)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    # Time enough for a test on a busy machine.
    monkeypatch.setattr("celeriac.web.server._ON_THE_WAY_SECONDS", 1.0)
    service = Service()
    service.thread.start()
    wait_until(lambda: service.server.started, "it listens")
    yield service
    service.server.should_exit = True
    service.thread.join()
    service.held.close()


def ask(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.read() == b"hello"
    return answer


def test_a_connection_that_is_kept_open_is_answered_and_told_that_it_was_the_last(
    service: Service,
) -> None:
    connection = service.connect()
    assert ask(connection).headers["Connection"] is None

    service.begin_to_end()

    assert ask(connection).headers["Connection"] == "close"
    connection.close()


def test_who_was_taken_and_has_not_asked_yet_is_answered(service: Service) -> None:
    other, connection = service.connect(), service.connect()
    # The one before has been answered, so this one has been taken.
    ask(other)

    service.begin_to_end()

    assert ask(connection).status == 200
    for each in (other, connection):
        each.close()


def test_who_connects_as_it_ends_waits_for_who_holds_the_socket(service: Service) -> None:
    service.begin_to_end()
    late = service.connect()
    service.thread.join()

    service.held.settimeout(5)
    connection, _ = service.held.accept()

    assert connection.getpeername() == late.sock.getsockname()
    connection.close()
    late.close()


def test_what_is_inherited_is_handed_on_to_nobody(service: Service) -> None:
    assert [each.get_inheritable() for each in service.sockets] == [False]
    # Without it small answers would wait for more.
    assert service.sockets[0].proto == socket.IPPROTO_TCP
