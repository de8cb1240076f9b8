"""A real RabbitMQ with its own ports, node and folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

from kombu.connection import Connection

from tests.servers.debian import find_program
from tests.servers.ports import free_port
from tests.servers.processes import Process, clean_environment

# The wrapper on the PATH changes the user and forgets our environment.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")


class RabbitServer(Process):
    """One node, which keeps its queues over a restart."""

    def __init__(self, folder: Path) -> None:
        find_program("rabbitmq-server", package="rabbitmq-server")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        # Erlang's own name server; it outlives its nodes unless it is told to end.
        self._names_port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        environment = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"celeriac{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text("log.console = true\nlog.file = false\n")
        super().__init__(
            [str(_PROGRAMS / "rabbitmq-server")],
            log=folder / "rabbitmq.log",
            environment=clean_environment(environment),
            folder=folder,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill_group()
        subprocess.run(
            [find_program("epmd", package="rabbitmq-server"), "-kill"],
            env=self.environment,
            check=False,
            capture_output=True,
        )

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        super().start()
        self.wait_until(self._answers, "it takes connections", seconds=60)

    def restart(self) -> None:
        """Kill the node and start it again on its data."""
        self.kill_group()
        self.start()

    def _answers(self) -> bool:
        connection = Connection(self.url, connect_timeout=2)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.release()
        return True
