from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from celeriac.errors import ServiceStartingError
from celeriac.up.listener import Listener
from celeriac.up.ports import hold_port
from celeriac.up.question import Question

HOST = "127.0.0.1"
US, THEM = 1, 2


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener(hold_port(HOST, 0, variable="CELERIAC_PORT").sockets)
    yield listener
    listener.close()


@pytest.fixture
def question(listener: Listener) -> Iterator[Question]:
    question = Question(HOST, port_of(listener), "/readyz")
    yield question
    question.drop()


def port_of(listener: Listener) -> int:
    port: int = listener.sockets[0].getsockname()[1]
    return port


def answer_next(listener: Listener, status: str) -> None:
    """Answer who has waited longest, as a server does."""
    (held,) = listener.sockets
    connection, _ = held.accept()
    with connection:
        connection.settimeout(5)
        assert connection.recv(4096).startswith(b"GET /readyz ")
        connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())


def test_who_waits_for_a_service_that_will_not_come_is_told_so(listener: Listener) -> None:
    connection = http.client.HTTPConnection(HOST, port_of(listener), timeout=5)
    connection.request("POST", "/tasks/process", body="{}")

    listener.refuse()

    answer = connection.getresponse()
    problem = json.loads(answer.read())
    assert answer.status == problem["status"] == 503
    assert problem["code"] == ServiceStartingError.code
    assert answer.headers["Retry-After"] == "2"
    connection.close()


def test_with_nobody_waiting_nobody_is_refused_and_nothing_waits(listener: Listener) -> None:
    listener.refuse()


def test_who_hung_up_meanwhile_keeps_nobody_from_being_told(listener: Listener) -> None:
    socket.create_connection((HOST, port_of(listener)), timeout=5).close()
    connection = http.client.HTTPConnection(HOST, port_of(listener), timeout=5)
    connection.request("GET", "/")

    listener.refuse()

    assert connection.getresponse().status == 503
    connection.close()


def test_a_listener_that_was_closed_refuses_connections(listener: Listener) -> None:
    port = port_of(listener)

    listener.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=5)


def test_a_question_waits_until_somebody_answers(listener: Listener, question: Question) -> None:
    assert not question.is_answered_ok(US)
    assert not question.is_answered_ok(US)

    answer_next(listener, "200 OK")

    assert question.is_answered_ok(US)


def test_a_question_that_is_answered_otherwise_is_asked_again(
    listener: Listener, question: Question
) -> None:
    question.is_answered_ok(US)
    answer_next(listener, "503 Service Unavailable")
    assert not question.is_answered_ok(US)

    question.is_answered_ok(US)
    answer_next(listener, "200 OK")

    assert question.is_answered_ok(US)


def test_an_answer_counts_for_nobody_but_who_was_asked(
    listener: Listener, question: Question
) -> None:
    question.is_answered_ok(THEM)
    answer_next(listener, "200 OK")

    assert not question.is_answered_ok(US)


def test_a_question_to_nobody_is_no_error() -> None:
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]

    assert not Question(HOST, port, "/readyz").is_answered_ok(US)
