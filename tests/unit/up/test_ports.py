from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from celeriac.errors import SettingsError
from celeriac.up.ports import (
    address_to_ask,
    choose_port,
    find_holder,
    free_port,
    hold_port,
    inodes_in,
    listen_on,
)

HOST = "127.0.0.1"
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1111 1
   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2222 1
   2: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3333 1
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as server:
        yield server


def _is_free(port: int) -> bool:
    sockets = listen_on(HOST, port, variable="CELERIAC_PORT")
    for each in sockets:
        each.close()
    return bool(sockets)


def test_a_free_port_is_given_as_wanted() -> None:
    port = free_port(HOST)

    chosen = choose_port(HOST, port, variable="CELERIAC_PORT")

    assert (chosen.port, chosen.taken) == (port, None)


def test_a_port_that_is_held_is_listened_on_and_taken_for_others() -> None:
    port = free_port(HOST)

    chosen = hold_port(HOST, port, variable="CELERIAC_PORT")

    assert (chosen.port, chosen.taken) == (port, None)
    assert not listen_on(HOST, port, variable="CELERIAC_PORT")
    socket.create_connection((HOST, port), timeout=5).close()
    assert not any(each.get_inheritable() for each in chosen.sockets)
    for each in chosen.sockets:
        each.close()
    assert _is_free(port)


def test_any_port_is_the_same_for_every_address_of_a_host() -> None:
    chosen = hold_port("localhost", 0, variable="CELERIAC_PORT")

    assert {each.getsockname()[1] for each in chosen.sockets} == {chosen.port}
    assert len({each.family for each in chosen.sockets}) == len(chosen.sockets)
    socket.create_connection(("localhost", chosen.port), timeout=5).close()
    for each in chosen.sockets:
        each.close()


def test_zero_means_any_free_port() -> None:
    chosen = choose_port(HOST, 0, variable="CELERIAC_PORT")

    assert chosen.port > 0
    assert chosen.taken is None


def test_a_taken_port_gives_way_to_the_next_free_one(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]

    chosen = choose_port(HOST, taken, variable="CELERIAC_PORT")

    assert chosen.taken == taken
    assert _is_free(chosen.port)


def test_the_holder_of_a_port_is_found_where_the_system_tells(listener: socket.socket) -> None:
    holder = find_holder(listener.getsockname()[1])

    assert (holder is not None) == sys.platform.startswith("linux")
    assert holder is None or holder.pid == os.getpid()


def test_nobody_holds_a_free_port() -> None:
    assert find_holder(free_port(HOST)) is None


def test_an_address_of_another_machine_is_refused_with_its_setting() -> None:
    # From the range that is reserved for examples.
    with pytest.raises(SettingsError, match=r"CELERIAC_HOST is '192\.0\.2\.1'"):
        choose_port("192.0.2.1", 8000, variable="CELERIAC_PORT")


@pytest.mark.parametrize(
    ("port", "inodes"),
    [
        # The listener alone, not the connection that it accepted.
        (8000, {"1111"}),
        (8001, {"3333"}),
        (8002, set()),
    ],
)
def test_the_inodes_of_listening_sockets_are_read_from_the_table(
    port: int, inodes: set[str]
) -> None:
    assert inodes_in(TABLE, port) == inodes


@pytest.mark.parametrize(
    ("host", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("10.0.0.7", "10.0.0.7")],
)
def test_a_server_on_every_address_is_asked_on_the_loopback(host: str, asked: str) -> None:
    assert address_to_ask(host) == asked
