"""Whose address a request is counted under."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

# Requests whose address cannot be told share one count: never an open door.
UNKNOWN = "unknown"
# Whoever has one IPv6 address has the whole /64 it lies in.
_IPV6_PREFIX = 64


def client_bucket(peer: str | None, forwarded: Sequence[str], *, trusted_proxies: int) -> str:
    """Return under which key a request's address is counted.

    Args:
        peer: The address at the other end of the connection, as the server tells it.
        forwarded: Every `X-Forwarded-For` header, in order; each may hold several addresses.
        trusted_proxies: How many proxies in front of us add to that header. What stands further
            left was written by the client and is not believed.
    """
    if not forwarded:
        return bucket(peer or "")
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    if 0 < trusted_proxies <= len(hops):
        return bucket(_without_port(hops[-trusted_proxies]))
    # A server that trusts its own neighbours has put an address of the header in the peer's
    # place (uvicorn does so for 127.0.0.1 unless it is told not to). We were told to trust nobody.
    if peer in [_without_port(hop) for hop in hops]:
        return UNKNOWN
    return bucket(peer or "")


@lru_cache(maxsize=4096)
def bucket(address: str) -> str:
    """Return one address as a key: IPv4 as it is, IPv6 by its /64."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ip_network((int(ip), _IPV6_PREFIX), strict=False))
    return str(ip)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
