"""Connections to a Redis broker for those who live in an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.core.broker_url import read_sentinel_url

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool


def pool_of(url: str, *, patience_seconds: float, reads_for_ever: bool = False) -> ConnectionPool:
    """Return connections to a broker.

    Args:
        url: A URL that `is_redis_url` knows.
        patience_seconds: How long to wait for a connection, and for each answer.
        reads_for_ever: Wait for what comes without being asked for, however long that takes.
    """
    from redis.asyncio import ConnectionPool
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {
        "socket_timeout": None if reads_for_ever else patience_seconds,
        "socket_connect_timeout": patience_seconds,
        # Once, at once: a pooled connection may have been closed by a broker's restart.
        "retry": Retry(NoBackoff(), 1),
    }
    if not url.startswith("sentinel://"):
        return ConnectionPool.from_url(url, **options)
    address = read_sentinel_url(url)
    asked = Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels, **address.to_options(options)
    )
    pool: ConnectionPool = asked.master_for(address.master_name).connection_pool
    return pool
