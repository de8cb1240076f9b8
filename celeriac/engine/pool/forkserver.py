"""A process with one thread that does nothing but fork: where a worker's children come from.

It is forked from the worker before any of our threads starts, so that a child never inherits a
lock that another thread held, and it has the app as the worker loaded it. It forks on request,
says which child ended how, and kills its children when the worker is gone, whatever killed it.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from celery import platforms

from celeriac.engine.pool.wire import Unpacker, pack


class ForkServer:
    """The worker's hold on the process that forks its children."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.socket = sock
        self.pid = pid
        self._unpacker = Unpacker()

    def fork(self, child_end: socket.socket) -> None:
        """Ask for a child that speaks over a socket; its process id comes as a message."""
        socket.send_fds(self.socket, [b"f"], [child_end.fileno()])
        child_end.close()

    def messages(self) -> list[Any]:
        """Return what it has told: ["forked", pid] in the order asked, ["exited", pid, status].

        Raises:
            EOFError: The process is gone.
        """
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return []
        except ConnectionError as error:
            # It was killed before it had read what it was asked for.
            raise EOFError from error
        if not data:
            raise EOFError
        return self._unpacker.feed(data)

    def close(self) -> None:
        """Let it go: it kills what children are left and ends."""
        self.socket.close()
        os.waitpid(self.pid, 0)


def start(run_child: Callable[[socket.socket, int], None]) -> ForkServer:
    """Fork the fork server; called before any thread starts.

    Args:
        run_child: What a child does with its socket and its number, in a fresh process.
    """
    ours, theirs = socket.socketpair()
    # What is collected later would be copied into every child that touches it.
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _serve(theirs, run_child)
    theirs.close()
    ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return ForkServer(ours, pid)


def _serve(control: socket.socket, run_child: Callable[[socket.socket, int], None]) -> NoReturn:
    code = 1
    try:
        platforms.set_pdeathsig("SIGKILL")
        gc.freeze()
        # The worker does not before its pool has started, and never does in a child of a child.
        gc.enable()
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
            # The worker decides when its children end; a terminal or a service manager that
            # signals the whole group must not decide it here.
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        _Server(control, run_child).serve()
        code = 0
    finally:
        os._exit(code)


class _Server:
    def __init__(
        self, control: socket.socket, run_child: Callable[[socket.socket, int], None]
    ) -> None:
        self._control = control
        self._run_child = run_child
        self._children: set[int] = set()
        self._count = 0

    def serve(self) -> None:
        # A byte arrives here whenever a child has ended.
        wake_reader, wake_writer = socket.socketpair()
        wake_reader.setblocking(False)  # noqa: FBT003 - the standard library's signature
        wake_writer.setblocking(False)  # noqa: FBT003 - the standard library's signature
        signal.set_wakeup_fd(wake_writer.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(wake_reader, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if wake_reader in ready:
                    wake_reader.recv(4096)
                    self._reap()
                if self._control in ready and not self._serve_request(selector, wake_reader):
                    break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _serve_request(self, *inherited: Any) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, 1, 1)
        if not data:
            return False
        self._count += 1
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self._control.close()
            for each in inherited:
                each.close()
            _run(self._run_child, socket.socket(fileno=fds[0]), self._count)
        os.close(fds[0])
        self._children.add(pid)
        self._tell(["forked", pid])
        return True

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.discard(pid)
            self._tell(["exited", pid, os.waitstatus_to_exitcode(status)])

    def _tell(self, message: Any) -> None:
        self._control.sendall(pack(message))


def _run(
    run_child: Callable[[socket.socket, int], None], sock: socket.socket, number: int
) -> NoReturn:
    code = 1
    try:
        run_child(sock, number)
        code = 0
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else 1
    except BaseException:
        # Nobody is left above who could tell.
        sys.excepthook(*sys.exc_info())
    finally:
        # Not sys.exit: what was registered with atexit belongs to the worker this came from.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
