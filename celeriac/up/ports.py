"""Which port a program gets, and who sits on the one it wanted."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from celeriac.errors import SettingsError

# How many ports after a taken one are tried before any free one is good enough.
_NEIGHBOURS = 50
_LISTEN = "0A"
# The second is what Windows says of a port that somebody holds for himself.
_TAKEN = (errno.EADDRINUSE, errno.EACCES)
# The machine has no such address, or none of this kind: `localhost` may be told to be one of IPv6.
_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
# As many as uvicorn lets wait; the system may allow fewer.
_BACKLOG = 2048
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - only compared


@dataclass(frozen=True, slots=True, kw_only=True)
class PortHolder:
    """A process that listens on a port."""

    pid: int
    name: str

    def __str__(self) -> str:
        """Return the words by which a person finds the process."""
        return f"{self.name} (process id {self.pid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPort:
    """The port a program gets."""

    port: int
    # The port it should have had, when that one was taken.
    taken: int | None = None
    # Who has that one; None where this cannot be told.
    holder: PortHolder | None = None
    # What listens there, one for each address of the host; none when nothing does yet.
    sockets: tuple[socket.socket, ...] = ()


def choose_port(host: str, wanted: int, *, variable: str) -> ChosenPort:
    """Return the wanted port of an address, or the next free one; 0 is any free one.

    Args:
        host: The address to listen on.
        wanted: The port to begin with.
        variable: The setting that named the port, for the error.

    Raises:
        SettingsError: This machine does not have the address, or this user may not use the port.
    """
    chosen = hold_port(host, wanted, variable=variable)
    for each in chosen.sockets:
        each.close()
    return replace(chosen, sockets=())


def hold_port(host: str, wanted: int, *, variable: str) -> ChosenPort:
    """Choose a port as `choose_port` does, and listen on it from now on.

    Raises:
        SettingsError: This machine does not have the address, or this user may not use the port.
    """
    if wanted == 0:
        return _hold_any(host, variable=variable)
    if sockets := listen_on(host, wanted, variable=variable):
        return ChosenPort(port=wanted, sockets=sockets)
    holder = find_holder(wanted)
    for port in range(wanted + 1, min(wanted + _NEIGHBOURS, 65536)):
        if sockets := listen_on(host, port, variable=variable):
            return ChosenPort(port=port, taken=wanted, holder=holder, sockets=sockets)
    return replace(_hold_any(host, variable=variable), taken=wanted, holder=holder)


def listen_on(host: str, port: int, *, variable: str) -> tuple[socket.socket, ...]:
    """Listen on a port of every address of a host; return nothing when it is taken on one.

    Raises:
        SettingsError: This machine does not have the address, or this user may not use the port.
    """
    try:
        with ExitStack() as opened:
            sockets = tuple(
                opened.enter_context(each)
                for address in _addresses_of(host, port)
                if (each := _listener(*address)) is not None
            )
            if sockets:
                opened.pop_all()
                return sockets
    except PermissionError:
        allowed = "a port this user may use, from 1024 on"
        raise SettingsError(variable, str(port), allowed) from None
    except socket.gaierror:
        raise _no_such_address(host) from None
    except OSError as error:
        if error.errno in _TAKEN:
            return ()
        raise _no_such_address(host) from None
    raise _no_such_address(host)


def free_port(host: str) -> int:
    """Return a port of an address that nobody listens on.

    Raises:
        SettingsError: This machine does not have the address.
    """
    try:
        with _socket_for(host) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError:
        raise _no_such_address(host) from None


def address_to_ask(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on a host."""
    return _EVERY_ADDRESS.get(host, host)


def find_holder(port: int) -> PortHolder | None:
    """Return the process that listens on a port; None where this cannot be told."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if _opens_any(process, wanted):
            return PortHolder(pid=int(process.name), name=_name_of(process))
    return None


def inodes_in(table: str, port: int) -> set[str]:
    """Return the inodes of the sockets that listen on a port, from the text of /proc/net/tcp."""
    found = set()
    for line in table.splitlines()[1:]:
        columns = line.split()
        local, state, inode = columns[1], columns[3], columns[9]
        if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
            found.add(inode)
    return found


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        if path.exists():
            found |= inodes_in(path.read_text(), port)
    return found


def _opens_any(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(each.readlink()) in sockets for each in (process / "fd").iterdir())
    except OSError:
        # It ended meanwhile, or belongs to somebody else.
        return False


def _name_of(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return b" ".join(words[:4]).decode(errors="replace")[:80] or "a process"
    except OSError:
        return "a process"


def _hold_any(host: str, *, variable: str) -> ChosenPort:
    for _ in range(_NEIGHBOURS):
        port = free_port(host)
        # Another program, or another address of the host, may have it.
        if sockets := listen_on(host, port, variable=variable):
            return ChosenPort(port=port, sockets=sockets)
    raise SettingsError(variable, "0", "a port that is free on every address of the host")


def _addresses_of(host: str, port: int) -> list[tuple[int, Any]]:
    # As the servers ask: `localhost` may be an address of IPv4 and one of IPv6.
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listener(family: int, address: Any) -> socket.socket | None:
    """Return a socket that listens on an address; None when this machine has none like it."""
    try:
        with ExitStack() as opened:
            found = opened.enter_context(_socket_of(family))
            if family == socket.AF_INET6:
                # As the servers do: `::` is every address of IPv6, and none of IPv4.
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            found.bind(address)
            found.listen(_BACKLOG)
            opened.pop_all()
            return found
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise


def _socket_for(host: str) -> socket.socket:
    return _socket_of(socket.getaddrinfo(host or "127.0.0.1", None, type=socket.SOCK_STREAM)[0][0])


def _socket_of(family: int) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":
        # As the servers do: connections that ended a minute ago do not hold the port. On Windows
        # the same option would share a port that somebody listens on.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return found


def _no_such_address(host: str) -> SettingsError:
    return SettingsError("CELERIAC_HOST", host, "an address of this machine")
