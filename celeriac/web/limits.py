"""How often one may ask: counted in the broker, so that every API process shares the count.

When the broker is away each process counts for itself: a looser limit, never an open door.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from celeriac.core.broker_url import is_redis_url
from celeriac.errors import RateLimitedError
from celeriac.web.broker_pool import pool_of

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import SlidingWindowCounterRateLimiter
    from redis.asyncio import ConnectionPool

Answer = TypeVar("Answer")
Question = Callable[..., Awaitable[Answer]]

logger = logging.getLogger(__name__)

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_KEY_PREFIX = "celeriac:limits"
# A request must not wait for a broker that is away.
_PATIENCE_SECONDS = 0.25
# How long nobody asks a broker that was just found to be away.
_PAUSE_SECONDS = 2.0
# A process counts so large a part of what is allowed in one step and gives it out by itself: the
# higher a limit, the fewer questions. A limit below this is counted one by one.
_CHUNKS = 200
_MOST_LEASES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """At most so many requests in so much time."""

    # Its name in the `RateLimit` headers, and what keeps its counts apart from another rule's.
    name: str
    count: int
    period: timedelta

    @classmethod
    def from_text(cls, name: str, text: str) -> Self:
        """Return the rule that a setting such as `100/minute` says."""
        count, _, period = text.partition("/")
        return cls(name=name, count=int(count), period=timedelta(seconds=_PERIODS[period]))

    def times(self, factor: int, *, name: str) -> Rule:
        """Return a rule of another name that allows a multiple of this one."""
        return Rule(name=name, count=self.count * factor, period=self.period)

    def to_policy(self) -> str:
        """Return the rule as an item of the `RateLimit-Policy` header."""
        return f'"{self.name}";q={self.count};w={self.period.total_seconds():.0f}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is left of a rule for one who asks."""

    rule: Rule
    remaining: int
    # Until more is allowed than now.
    reset_after: timedelta

    def to_header(self) -> str:
        """Return it as an item of the `RateLimit` header."""
        return _header(self.rule, self.remaining, self.reset_after.total_seconds())


class _Lease:
    """Requests that were counted together and are not all used."""

    __slots__ = ("_ends", "_left", "_others")

    def __init__(self, left: int, standing: Standing, now: float) -> None:
        self._left = left
        # What was left of the limit for those who hold no lease.
        self._others = standing.remaining
        self._ends = now + standing.reset_after.total_seconds()

    def is_good(self, now: float) -> bool:
        """Whether it was counted in a time that still counts."""
        return now < self._ends

    def take(self, now: float) -> bool:
        """Use one of the requests; False when there is none left."""
        if not self._left or not self.is_good(now):
            return False
        self._left -= 1
        return True

    def join(self, other: _Lease, now: float) -> None:
        """Take over what is left of another one that was counted at the same time."""
        self._left += other._left if other.is_good(now) else 0

    def standing(self, rule: Rule, now: float) -> Standing:
        """Return what is left: of the limit, and of what was counted before it was used."""
        return Standing(
            rule=rule,
            remaining=self._others + self._left,
            reset_after=timedelta(seconds=self._seconds_left(now)),
        )

    def to_header(self, rule: Rule, now: float) -> str:
        """Return the same as an item of the `RateLimit` header."""
        return _header(rule, self._others + self._left, self._seconds_left(now))

    def _seconds_left(self, now: float) -> float:
        return max(self._ends - now, 1.0)


def _header(rule: Rule, remaining: int, seconds: float) -> str:
    return f'"{rule.name}";r={remaining};t={math.ceil(seconds)}'


def private_key(*parts: str) -> str:
    """Return a key from which nobody who reads the broker learns the parts."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


class Limiter:
    """Counts requests over a sliding window."""

    def __init__(
        self, locate: Callable[[], str], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Count at a broker.

        Args:
            locate: Returns its URL; asked again whenever it does not answer there.
            monotonic: The clock.
        """
        self._locate = locate
        self._url = self._find()
        self._monotonic = monotonic
        self._away_until = 0.0
        self._pool: ConnectionPool | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._local: SlidingWindowCounterRateLimiter | None = None
        # By the rule's name and who is counted.
        self._leases: dict[tuple[str, str], _Lease] = {}

    def warm_up(self) -> None:
        """Import what counting needs, so that the first request does not wait for it."""
        import redis.asyncio  # noqa: F401 - imported for its time, not for its names

    def take(self, rule: Rule, key: str) -> bool:
        """Count one request if that can be done without asking; whether it could."""
        lease = self._leases.get((rule.name, key))
        return lease is not None and lease.take(self._monotonic())

    async def count(self, rule: Rule, key: str) -> None:
        """Count one request.

        Raises:
            RateLimitedError: It is one too many, and was not counted.
        """
        if not self.take(rule, key):
            await self._lease(rule, key)

    async def header(self, rule: Rule, key: str) -> str:
        """Return what is left as an item of the `RateLimit` header."""
        lease = self._leases.get((rule.name, key))
        now = self._monotonic()
        if lease is not None and lease.is_good(now):
            return lease.to_header(rule, now)
        return (await self.standing(rule, key)).to_header()

    async def standing(self, rule: Rule, key: str) -> Standing:
        """Return what is left, without counting anything."""
        lease = self._leases.get((rule.name, key))
        now = self._monotonic()
        if lease is not None and lease.is_good(now):
            return lease.standing(rule, now)
        return await self._ask(_look, rule, key)

    async def _lease(self, rule: Rule, key: str) -> None:
        """Count a chunk of requests at once, of which this is the first."""
        self._leases.pop((rule.name, key), None)
        chunk = max(1, rule.count // _CHUNKS)
        if not await self._ask(_hit, rule, key, chunk):
            # So close to the limit each is counted for itself.
            chunk = 1
            if not await self._ask(_hit, rule, key, chunk):
                raise RateLimitedError((await self.standing(rule, key)).reset_after)
        if chunk == 1:
            return
        standing = await self._ask(_look, rule, key)
        if len(self._leases) >= _MOST_LEASES:
            # What is forgotten was counted, and is leased anew.
            self._leases.clear()
        now = self._monotonic()
        lease = _Lease(chunk - 1, standing, now)
        meanwhile = self._leases.get((rule.name, key))
        if meanwhile is not None:
            # Of another request, which found none at the same moment.
            lease.join(meanwhile, now)
        self._leases[rule.name, key] = lease

    async def close(self) -> None:
        """Close the connections to the broker."""
        pool, self._pool = self._pool, None
        self._shared = None
        if pool is not None:
            await pool.disconnect()

    async def _ask(self, question: Question[Answer], rule: Rule, key: str, *facts: int) -> Answer:
        if self._url and self._monotonic() >= self._away_until:
            import redis

            try:
                return await question(self._sharing(), rule, key, *facts)
            except (redis.RedisError, OSError, TimeoutError) as error:
                self._away_until = self._monotonic() + _PAUSE_SECONDS
                logger.warning(
                    "the broker is away; requests are counted in this process alone",
                    extra={"error": type(error).__name__},
                )
                await self._follow()
        return await question(self._counting_alone(), rule, key, *facts)

    async def _follow(self) -> None:
        url = self._find()
        if url != self._url:
            # Another `up` has started its own: whoever asks next asks there.
            await self.close()
            self._url = url
            self._away_until = 0.0

    def _find(self) -> str:
        url = self._locate()
        return url if is_redis_url(url) else ""

    def _sharing(self) -> SlidingWindowCounterRateLimiter:
        if self._shared is None:
            from limits.aio.storage import RedisStorage
            from limits.aio.strategies import SlidingWindowCounterRateLimiter

            self._pool = pool_of(self._url, patience_seconds=_PATIENCE_SECONDS)
            storage = RedisStorage(
                # What matters of it is the kind: the pool has the address.
                "async+redis://",
                implementation="redispy",
                key_prefix=_KEY_PREFIX,
                # Hinted as if every option were a plain value.
                connection_pool=self._pool,  # type: ignore[arg-type]
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)
        return self._shared

    def _counting_alone(self) -> SlidingWindowCounterRateLimiter:
        if self._local is None:
            from limits.aio.storage import MemoryStorage
            from limits.aio.strategies import SlidingWindowCounterRateLimiter

            self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        return self._local


async def _hit(strategy: SlidingWindowCounterRateLimiter, rule: Rule, key: str, count: int) -> bool:
    return await strategy.hit(_item(rule), rule.name, key, cost=count)


async def _look(strategy: SlidingWindowCounterRateLimiter, rule: Rule, key: str) -> Standing:
    reset_at, remaining = await strategy.get_window_stats(_item(rule), rule.name, key)
    reset_after = timedelta(seconds=max(1.0, reset_at - time.time()))
    return Standing(rule=rule, remaining=remaining, reset_after=reset_after)


def _item(rule: Rule) -> RateLimitItem:
    from limits import RateLimitItemPerSecond

    return RateLimitItemPerSecond(rule.count, int(rule.period.total_seconds()), "celeriac")
