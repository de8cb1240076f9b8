"""The transport: kombu's for Redis, with our channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import transport
from kombu.transport import redis as kombu_redis

from celeriac.engine.local_broker import follow
from celeriac.engine.transport.channel import Channel, SentinelChannel

_FLUSH_SECONDS = 0.5


class Poller(kombu_redis.MultiChannelPoller):
    """Kombu's, but for a pop that waits while the window fills up: its answer is read.

    Kombu leaves that in its socket until there is room again: popped, and parked nowhere, for as
    long as the tasks take that fill the slots. Read, it is parked and delivered like any other, one
    more than there is room for.
    """

    def on_readable(self, fileno: int) -> None:
        """Read what has come for a channel."""
        channel, kind = self._fd_to_chan.get(fileno, (None, ""))
        if kind == "BRPOP" and channel._in_poll:  # noqa: SLF001 - as kombu asks it
            channel.handlers[kind]()
        else:
            super().on_readable(fileno)

    def _update_brpop_polling(self) -> None:
        """Go on listening, where kombu stops."""


class _BatchedTransport:
    # Whether an event loop calls us again when nothing is read.
    has_loop = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle: Any = Poller()
        self._loop: Any = None

    def establish_connection(self) -> Any:
        """Connect, to where the broker is now."""
        follow(self.client)  # type: ignore[attr-defined]
        return super().establish_connection()  # type: ignore[misc]

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have the event loop read, and acknowledge now and then."""
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]
        self.has_loop = True
        self._loop = loop
        cycle = self.cycle

        def flush() -> None:
            for channel in list(cycle._channels):  # noqa: SLF001 - kombu has no public word for it
                channel.flush_acknowledgements()
                channel.drop_silent_pop()

        earlier = getattr(cycle, "celeriac_flush_timer", None)
        if earlier is not None:
            earlier.cancel()
        cycle.celeriac_flush_timer = loop.call_repeatedly(_FLUSH_SECONDS, flush)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Have the event loop call something after some time."""
        self._loop.call_later(seconds, call)


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
