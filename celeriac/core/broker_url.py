"""What a broker's URL says, where Celery's own reading of it is not enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_SENTINEL_PORT = 26379
_REDIS = ("redis://", "rediss://", "sentinel://")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelAddress:
    """A Redis whose address sentinels know.

    Written `sentinel://USER:PASSWORD@HOST:PORT;sentinel://HOST:PORT/DATABASE?master_name=NAME`;
    name and password are the Redis's own, the sentinels' stands in `sentinel_password`.
    """

    # Host and port of each sentinel.
    sentinels: tuple[tuple[str, int], ...]
    master_name: str
    database: int = 0
    username: str = ""
    password: str = ""
    sentinel_password: str = ""

    def to_options(self, common: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a Redis client's `Sentinel` takes beside the sentinels' places.

        Args:
            common: What holds for connections to the sentinels and to the Redis alike.
        """
        return {
            **common,
            "sentinel_kwargs": {**common, "password": self.sentinel_password or None},
            "username": self.username or None,
            "password": self.password or None,
            "db": self.database,
        }


def is_redis_url(url: str) -> bool:
    """Return whether a broker's URL leads to a Redis, or to sentinels that know one."""
    return url.startswith(_REDIS)


def read_sentinel_url(url: str) -> SentinelAddress:
    """Return what a `sentinel://` URL says.

    Raises:
        ValueError: A part is no sentinel's URL, a port or database is none, or the name is missing.
    """
    parts = [urlsplit(part) for part in url.split(";")]
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("not every part begins with sentinel://HOST")
    options = {name: value for part in parts for name, value in parse_qsl(part.query)}
    if not options.get("master_name"):
        raise ValueError("the master_name is missing")
    database = next((part.path.strip("/") for part in parts if part.path.strip("/")), "0")
    first = next((part for part in parts if part.password), parts[0])
    return SentinelAddress(
        sentinels=tuple(_place(part) for part in parts),
        master_name=options["master_name"],
        database=int(database),
        username=unquote(first.username or ""),
        password=unquote(first.password or ""),
        sentinel_password=options.get("sentinel_password", ""),
    )


def _place(part: SplitResult) -> tuple[str, int]:
    return str(part.hostname), part.port or _SENTINEL_PORT
