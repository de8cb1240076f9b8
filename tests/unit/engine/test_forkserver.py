from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from celeriac.engine.pool import forkserver
from celeriac.engine.pool.forkserver import ForkServer
from tests.servers.processes import is_alive, wait_until

pytestmark = pytest.mark.slow


def _wait(sock: socket.socket, number: int) -> None:
    """Be a child that says its number, and ends with what it is told."""
    sock.sendall(bytes([number]))
    word = sock.recv(1)
    if word == b"x":
        sys.exit(sock.recv(1)[0])
    if word == b"s":
        sys.exit("a sentence")
    if word == b"e":
        sys.excepthook = lambda *_: None
        raise ValueError("broken")


class Listener:
    """Everything that a fork server has told so far."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self.messages: list[Any] = []

    def of(self, kind: str) -> list[Any]:
        self.messages += self._server.messages()
        return [each[1:] for each in self.messages if each[0] == kind]

    def wait(self, kind: str, count: int = 1) -> list[Any]:
        wait_until(lambda: len(self.of(kind)) >= count, f"{count} {kind}", pause=0.002)
        return self.of(kind)


@contextmanager
def _serving() -> Iterator[ForkServer]:
    server = forkserver.start(_wait)
    yield server
    server.close()


@pytest.fixture
def server() -> Iterator[ForkServer]:
    with _serving() as made:
        yield made


@pytest.fixture
def listener(server: ForkServer) -> Listener:
    return Listener(server)


def _fork(server: ForkServer) -> socket.socket:
    ours, theirs = socket.socketpair()
    server.fork(theirs)
    return ours


def test_each_child_is_named_and_speaks_over_its_own_socket(
    server: ForkServer, listener: Listener
) -> None:
    first, second = _fork(server), _fork(server)

    with first, second:
        said = [first.recv(1), second.recv(1)]
        pids = [pid for (pid,) in listener.wait("forked", 2)]

        assert said == [b"\x01", b"\x02"]
        assert all(is_alive(pid) for pid in pids)
        assert len({*pids, os.getpid(), server.pid}) == 4


@pytest.mark.parametrize(
    ("word", "status"),
    [
        # It returns.
        (b"r", 0),
        (b"x\x07", 7),
        # sys.exit with a sentence, and an exception, are failures.
        (b"s", 1),
        (b"e", 1),
    ],
)
def test_it_is_told_how_a_child_ended(
    server: ForkServer, listener: Listener, word: bytes, status: int
) -> None:
    with _fork(server) as sock:
        sock.recv(1)

        sock.sendall(word)

        ((exited, told),) = listener.wait("exited")
        assert [exited] in listener.of("forked")
        assert told == status


def test_it_is_told_of_a_child_that_was_killed(server: ForkServer, listener: Listener) -> None:
    with _fork(server) as sock:
        sock.recv(1)
        ((pid,),) = listener.wait("forked")

        os.kill(pid, signal.SIGKILL)

        assert listener.wait("exited") == [[pid, -signal.SIGKILL]]
        assert sock.recv(1) == b""


def test_children_that_end_at_the_same_time_are_all_told_of(
    server: ForkServer, listener: Listener
) -> None:
    sockets = [_fork(server) for _ in range(5)]
    pids = [pid for (pid,) in listener.wait("forked", 5)]

    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    assert sorted(pid for pid, _ in listener.wait("exited", 5)) == sorted(pids)
    for each in sockets:
        each.close()


def test_a_child_that_is_gone_does_not_keep_the_next_one_from_coming(
    server: ForkServer, listener: Listener
) -> None:
    with _fork(server) as sock:
        sock.recv(1)
        sock.sendall(b"r")
    listener.wait("exited")

    with _fork(server) as sock:
        assert sock.recv(1) == b"\x02"


def test_letting_the_server_go_ends_its_children() -> None:
    with _serving() as server, _fork(server) as sock:
        sock.recv(1)
        ((pid,),) = Listener(server).wait("forked")

        server.socket.shutdown(socket.SHUT_RDWR)

        wait_until(lambda: not is_alive(pid), "the child is gone", pause=0.002)


def test_the_server_ignores_what_a_terminal_sends_to_the_whole_group(
    server: ForkServer, listener: Listener
) -> None:
    with _fork(server):
        listener.wait("forked")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(server.pid, number)

    with _fork(server) as sock:
        assert sock.recv(1) == b"\x02"


def test_children_die_when_the_worker_is_killed() -> None:
    reader, writer = os.pipe()
    worker = os.fork()
    if worker == 0:
        made = forkserver.start(_wait)
        sock = _fork(made)
        sock.recv(1)
        ((pid,),) = Listener(made).wait("forked")
        os.write(writer, f"{made.pid} {pid}".encode())
        signal.pause()
        os._exit(0)
    server_pid, child_pid = map(int, os.read(reader, 100).split())

    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)

    wait_until(lambda: not is_alive(server_pid), "the server is gone", pause=0.002)
    wait_until(lambda: not is_alive(child_pid), "the child is gone", pause=0.002)
    os.close(reader)
    os.close(writer)


def test_whoever_listens_is_told_that_the_server_is_gone() -> None:
    server = forkserver.start(_wait)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(server.pid), "it is gone", pause=0.002)

    with pytest.raises(EOFError):
        server.messages()

    server.close()


def test_whoever_listens_is_told_so_too_when_the_server_had_not_heard_it() -> None:
    server = forkserver.start(_wait)
    os.kill(server.pid, signal.SIGSTOP)
    _fork(server).close()
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(server.pid), "it is gone", pause=0.002)

    with pytest.raises(EOFError):
        server.messages()

    server.close()


def test_a_server_that_has_nothing_to_tell_keeps_nobody_waiting(server: ForkServer) -> None:
    assert server.messages() == []
