"""Asking a broker what it is, for whoever looks after it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.core.broker import BrokerFacts
from celeriac.core.broker_url import is_redis_url, read_sentinel_url
from celeriac.errors import BrokerUnavailableError

if TYPE_CHECKING:
    import redis

_PATIENCE_SECONDS = 3.0
_SIGN_IN_FIX = "give the right password in CELERIAC_BROKER_URL: redis://USER:PASSWORD@HOST:PORT"


def ask_broker(url: str) -> BrokerFacts:
    """Return what a broker says of itself.

    Raises:
        BrokerUnavailableError: It did not answer.
    """
    return _ask_redis(url) if is_redis_url(url) else _ask_any(url)


def facts_of_info(info: Mapping[str, Any], *, answer_seconds: float) -> BrokerFacts:
    """Return the facts in what Redis answers to INFO."""
    is_valkey = "valkey_version" in info
    version = info.get("valkey_version" if is_valkey else "redis_version", "")
    has_policy = "maxmemory_policy" in info
    return BrokerFacts(
        product=f"{'Valkey' if is_valkey else 'Redis'} {version}".strip(),
        answer_seconds=answer_seconds,
        eviction_policy=str(info["maxmemory_policy"]) if has_policy else None,
        most_bytes=int(info.get("maxmemory", 0)),
        evicted=int(info.get("evicted_keys", 0)),
        is_persistent=bool(info["aof_enabled"]) if "aof_enabled" in info else None,
        is_write_failing=any(
            info.get(name, "ok") != "ok"
            for name in ("aof_last_write_status", "rdb_last_bgsave_status")
        ),
    )


def _ask_redis(url: str) -> BrokerFacts:
    import redis
    from redis.sentinel import MasterNotFoundError

    began = time.monotonic()
    try:
        client = _client_of(url)
    except ValueError as error:
        raise BrokerUnavailableError(f"its URL says too little: {error}") from error
    try:
        client.ping()
        took = time.monotonic() - began
        return facts_of_info(client.info("all"), answer_seconds=took)
    except redis.AuthenticationError as error:
        raise BrokerUnavailableError(str(error), fix=_SIGN_IN_FIX) from error
    except MasterNotFoundError as error:
        # Its own words tell a whole client, with all options.
        name = read_sentinel_url(url).master_name
        raise BrokerUnavailableError(
            f"no sentinel that answers knows a primary {name!r}"
        ) from error
    except (redis.RedisError, OSError) as error:
        raise BrokerUnavailableError(str(error) or type(error).__name__) from error
    finally:
        client.close()


def _client_of(url: str) -> redis.Redis:
    import redis
    from redis.sentinel import Sentinel

    patience: dict[str, Any] = {
        "socket_timeout": _PATIENCE_SECONDS,
        "socket_connect_timeout": _PATIENCE_SECONDS,
    }
    if not url.startswith("sentinel://"):
        return redis.Redis.from_url(url, **patience)
    address = read_sentinel_url(url)
    asked = Sentinel(address.sentinels, **address.to_options(patience))
    client: redis.Redis = asked.master_for(address.master_name)
    return client


def _ask_any(url: str) -> BrokerFacts:
    from kombu.connection import Connection
    from kombu.exceptions import OperationalError

    began = time.monotonic()
    connection = Connection(url, connect_timeout=_PATIENCE_SECONDS)
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    except (OperationalError, *connection.connection_errors, OSError) as error:
        raise BrokerUnavailableError(str(error) or type(error).__name__) from error
    finally:
        connection.release()
    return BrokerFacts(
        product=str(connection.transport.driver_name), answer_seconds=time.monotonic() - began
    )
