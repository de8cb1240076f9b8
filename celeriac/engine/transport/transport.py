"""The transport: kombu's for Redis, with our channels."""

from __future__ import annotations

from typing import Any

from kombu import transport
from kombu.transport import redis as kombu_redis

from celeriac.engine.transport.channel import Channel, SentinelChannel

_FLUSH_SECONDS = 0.5


class _BatchedTransport:
    # Whether an event loop calls us again when nothing is read.
    has_loop = False

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have the event loop read, and acknowledge now and then."""
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]
        self.has_loop = True
        cycle = self.cycle  # type: ignore[attr-defined]

        def flush() -> None:
            for channel in list(cycle._channels):  # noqa: SLF001 - kombu has no public word for it
                channel.flush_acknowledgements()
                channel.drop_silent_pop()

        earlier = getattr(cycle, "celeriac_flush_timer", None)
        if earlier is not None:
            earlier.cancel()
        cycle.celeriac_flush_timer = loop.call_repeatedly(_FLUSH_SECONDS, flush)


class Transport(_BatchedTransport, kombu_redis.Transport):
    """`redis://` and `rediss://`."""

    Channel = Channel


class SentinelTransport(_BatchedTransport, kombu_redis.SentinelTransport):
    """`sentinel://`."""

    Channel = SentinelChannel


def install() -> None:
    """Have kombu use these for Redis, in this process."""
    transport.TRANSPORT_ALIASES.update(
        {
            "redis": f"{__name__}:Transport",
            "rediss": f"{__name__}:Transport",
            "sentinel": f"{__name__}:SentinelTransport",
        }
    )
    transport._transport_cache.clear()  # noqa: SLF001 - filled before an app module is imported
