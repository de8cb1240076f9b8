"""The broker seen from beside Celery's consumer: connections, queue lengths, and whether it forgot.

Everything here may fail at any time, and says so with one of `broker_errors`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import redis
from kombu.exceptions import BatchPublishError, OperationalError

from celeriac.engine.transport.parking import Owner, give_back_all, parkings

EPOCH_KEY = "celeriac:epoch"
_SOCKET_SECONDS = 5.0


def connect_once(app: Any) -> Any:
    """Return a connection that tries each step once: whoever asks has something better to do."""
    options = dict(app.conf.broker_transport_options or {})
    options.update(max_retries=1, interval_start=0, interval_step=0, interval_max=0)
    if is_redis(app):
        options.setdefault("socket_connect_timeout", _SOCKET_SECONDS)
        options.setdefault("socket_timeout", _SOCKET_SECONDS)
    return app.connection_for_write(
        transport_options=options, connect_timeout=_SOCKET_SECONDS, heartbeat=0
    )


def connect_to_results(url: str) -> redis.Redis:
    """Return a client of the Redis where plain Celery clients look for results."""
    return redis.Redis.from_url(
        url, socket_timeout=_SOCKET_SECONDS, socket_connect_timeout=_SOCKET_SECONDS
    )


def broker_errors(connection: Any) -> tuple[type[BaseException], ...]:
    """Return what is raised when the broker is away or refuses."""
    # kombu raises its own OperationalError while it connects, and its own again when a batch is
    # not delivered, whatever the transport raised.
    return (
        *connection.connection_errors,
        *connection.channel_errors,
        OperationalError,
        BatchPublishError,
        OSError,
    )


def is_redis(app: Any) -> bool:
    """Whether the broker speaks Redis' protocol."""
    return driver_of(app) == "redis"


def is_in_process(app: Any) -> bool:
    """Whether the broker lives in this process, and ends with it."""
    return driver_of(app) == "memory"


def driver_of(app: Any) -> str:
    """Return kombu's word for the kind of broker: redis, amqp, memory."""
    return str(app.connection_for_write().transport.driver_type)


class BrokerView:
    """One thread's view of the broker; not to be shared between threads."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._is_redis = is_redis(app)
        self._connection = connect_once(app)

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What any call here may raise when the broker is away."""
        return broker_errors(self._connection)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        self._connection.release()
        self._connection = connect_once(self._app)

    def queue_length(self, queue: str) -> int:
        """Return how many doorbells lie in a queue, over all priorities."""
        channel = self._connection.default_channel
        if hasattr(channel, "_size"):
            return int(channel._size(queue))  # noqa: SLF001 - kombu has no public word for it
        declared = self._app.amqp.queues[queue].bind(channel).queue_declare()
        return int(declared[1])

    def give_back_parked(self, is_dead: Callable[[Owner], bool]) -> int:
        """Give back what dead processes had taken and not acknowledged; return how many."""
        if not self._is_redis:
            # Other brokers do so themselves when a connection is gone.
            return 0
        channel = self._connection.default_channel
        client, prefix = channel.plain_client(), channel.global_keyprefix
        return sum(
            give_back_all(client, key, prefix=prefix)
            for key, owner in parkings(client, prefix=prefix).items()
            if is_dead(owner)
        )

    def epoch(self) -> str:
        """Return a word that changes when the broker forgot everything or was replaced.

        On Redis a random key that lives as long as the data, and the server's run id. A broker
        inside the process is as old as the process. Brokers without such a key always answer the
        same; their queue lengths tell.
        """
        if not self._is_redis:
            return self._app.celeriac.started if is_in_process(self._app) else ""
        channel = self._connection.default_channel
        client, key = channel.plain_client(), f"{channel.global_keyprefix}{EPOCH_KEY}"
        client.set(key, secrets.token_hex(8), nx=True)
        kept = client.get(key)
        run_id = client.info("server").get("run_id", "")
        return f"{kept!r}:{run_id}"
