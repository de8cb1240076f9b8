"""Free ports of this machine's loopback."""

from __future__ import annotations

import socket

# The kernel may hand out a port again as soon as its socket is closed, so remember our own.
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on and that this process was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def answers(port: int) -> bool:
    """Return whether somebody accepts connections on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
