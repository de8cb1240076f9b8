from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.web.addresses import UNKNOWN, bucket, client_bucket

PEER = "192.0.2.1"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        # the same machine as over IPv4
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        # no address at all: one count for all of them
        ("", UNKNOWN),
        ("unix:", UNKNOWN),
        ("192.0.2.1:80", UNKNOWN),
        ("01.2.3.4", UNKNOWN),
        ("0x7f000001", UNKNOWN),
        ("localhost", UNKNOWN),
    ],
)
def test_an_address_is_counted_under_a_key(address: str, key: str) -> None:
    assert bucket(address) == key


@pytest.mark.parametrize(
    ("trusted", "forwarded", "key"),
    [
        # nobody is trusted: what the header says is nobody's business
        (0, [], PEER),
        (0, ["203.0.113.9"], PEER),
        (0, ["203.0.113.9, 198.51.100.7"], PEER),
        # one proxy: the last address is the one it saw
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["10.0.0.1, 203.0.113.9"], "203.0.113.9"),
        (1, ["10.0.0.1", "203.0.113.9"], "203.0.113.9"),
        (1, ["203.0.113.9:4711"], "203.0.113.9"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::/64"),
        # two proxies: the last but one
        (2, ["10.0.0.1, 203.0.113.9, 198.51.100.7"], "203.0.113.9"),
        # fewer than there should be: whoever this is did not come through the proxies
        (1, [], PEER),
        (2, ["203.0.113.9"], PEER),
        # the proxy wrote what is no address
        (1, ["10.0.0.1, "], UNKNOWN),
        (1, ["unknown"], UNKNOWN),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(
    trusted: int, forwarded: list[str], key: str
) -> None:
    assert client_bucket(PEER, forwarded, trusted_proxies=trusted) == key


def test_an_address_that_the_server_took_from_the_header_is_not_believed() -> None:
    # uvicorn put it there, since the peer was this machine.
    assert client_bucket("203.0.113.9", ["203.0.113.9"], trusted_proxies=0) == UNKNOWN
    assert client_bucket("203.0.113.9", ["203.0.113.9:4711"], trusted_proxies=0) == UNKNOWN


def test_a_connection_without_an_address_is_counted_too() -> None:
    assert client_bucket(None, [], trusted_proxies=0) == UNKNOWN


@given(st.text(), st.lists(st.text()), st.integers(0, 10))
def test_whatever_is_sent_is_counted_under_something(
    peer: str, forwarded: list[str], trusted: int
) -> None:
    assert client_bucket(peer, forwarded, trusted_proxies=trusted)
