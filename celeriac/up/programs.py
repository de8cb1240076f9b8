"""The programs that `up` runs besides the broker.

Each has its command line here, and the question that tells whether it is ready.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from celeriac.core.worker import Worker
from celeriac.settings import CODE_FILE, TROUBLES_FILE, Settings
from celeriac.up.children import Program
from celeriac.up.listener import Listener
from celeriac.up.ports import address_to_ask
from celeriac.up.project import Project
from celeriac.up.question import Question

# How long tasks may finish at the end.
WORKER_GRACE = timedelta(seconds=10)
FLOWER_USER = "celeriac"
FLOWER_PASSWORD_FILE = "flower.password"  # noqa: S105 - a file's name
_HAS_PROCESSES = sys.platform != "win32"
_ANSWER_SECONDS = 1.0
# The first time, the schemas of all tasks are made for the answer.
_TELL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every program is started with."""

    settings: Settings
    environment: Mapping[str, str]
    project: Project
    # The folder of our own state.
    folder: Path

    def log_of(self, name: str) -> Path:
        """Return the file in which a program's words go."""
        return self.folder / f"{name}.log"


def worker_program(
    around: Surroundings,
    *,
    list_workers: Callable[[], Sequence[Worker]],
    code_file: Path | None = None,
    troubles_file: Path,
) -> Program:
    """Return a worker that serves the queues of the settings.

    Args:
        around: What it is started with.
        list_workers: Who has joined, as far as this can be told now.
        code_file: Where it shall write down which code it runs.
        troubles_file: Where it shall write down which attempts went wrong.
    """
    settings = around.settings
    node = f"celeriac@{socket.gethostname()}"
    asked = {TROUBLES_FILE: str(troubles_file)}
    if code_file is not None:
        asked[CODE_FILE] = str(code_file)
    pool = ("--pool=processes" if _HAS_PROCESSES else "--pool=threads",)
    # Told none, it serves the queues of all its tasks.
    queues = ("-Q", ",".join(settings.queues)) if "CELERIAC_QUEUES" in around.environment else ()

    def find_ready(pid: int) -> str | None:
        joined = find_joined(list_workers(), pid=pid, node=node)
        if joined is None:
            return None
        return f"{joined.slots} at a time   queues {', '.join(joined.queues)}"

    return Program(
        name="worker",
        command=(
            *(sys.executable, "-m", "celeriac.entries.worker"),
            *(*pool, "--concurrency", str(settings.concurrency), *queues),
            *("-n", node, "--loglevel", settings.log_level),
            # Mingling with the other workers waits a second for their answers, and the ledger
            # knows all that they could tell. Flower lives on the events.
            *("--without-mingle", "--without-gossip", "--task-events"),
        ),
        environment={**around.environment, **asked},
        folder=around.project.folder,
        log=around.log_of("worker"),
        find_ready=find_ready,
        grace=WORKER_GRACE,
        hurry=getattr(signal, "SIGQUIT", None),
    )


def web_program(
    around: Surroundings, *, host: str, port: int, listener: Listener, flower_url: str
) -> Program:
    """Return the HTTP service.

    Args:
        around: What it is started with.
        host: Where it listens.
        port: Its port.
        listener: What listens there, and stays when the service is started again.
        flower_url: Where it finds our Flower, with user and password; empty when the settings name
            another one.
    """
    url = web_url(host, port)
    # Not among the arguments, which every user of the machine can list.
    added = {"CELERIAC_FLOWER_URL": flower_url} if flower_url else {}

    question = Question(address_to_ask(host), port, "/readyz")
    inherited = [word for each in listener.sockets for word in ("--socket", str(each.fileno()))]

    def find_ready(pid: int) -> str | None:
        return url if question.is_answered_ok(pid) else None

    return Program(
        name="web",
        command=(
            *(sys.executable, "-m", "celeriac.entries.service", around.project.web),
            *("--host", host, "--port", str(port), *inherited),
            *("--log-level", around.settings.log_level),
        ),
        environment={**around.environment, **added},
        folder=around.project.folder,
        log=around.log_of("web"),
        find_ready=find_ready,
        sockets=listener.sockets,
        when_hopeless=listener.refuse,
    )


def flower_program(around: Surroundings, *, port: int, password: str) -> Program:
    """Return Flower, on the loopback and behind a password: the service shows it at `/flower`."""
    kept = {
        name: value for name, value in around.environment.items() if not name.startswith("FLOWER_")
    }

    def find_ready(_pid: int) -> str | None:
        is_ready = answers_ok("127.0.0.1", port, "/flower/healthcheck")
        return "behind sign-in at /flower" if is_ready else None

    return Program(
        name="flower",
        command=(
            *(sys.executable, "-m", "celeriac.entries.flower"),
            *(
                "--address=127.0.0.1",
                f"--port={port}",
                "--url-prefix=flower",
                f"--logging={around.settings.log_level}",
            ),
        ),
        # Not among the arguments, which every user of the machine can list.
        environment={**kept, "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}"},
        folder=around.project.folder,
        log=around.log_of("flower"),
        # It warns of every worker that was too busy to answer its questions at once.
        has_news=False,
        find_ready=find_ready,
    )


def flower_url(port: int, password: str) -> str:
    """Return where the service finds the Flower of this machine."""
    return f"http://{FLOWER_USER}:{password}@127.0.0.1:{port}/flower"


def environment_for(around: Surroundings, *, broker_url: str) -> dict[str, str]:
    """Return what the programs get: what we got, and where everything is."""
    return {
        **around.environment,
        **around.project.environment(),
        "CELERIAC_BROKER_URL": broker_url,
        "CELERIAC_DATA_DIR": str(around.settings.data_dir),
        # Lines are to be in the log when they are said.
        "PYTHONUNBUFFERED": "1",
    }


def find_joined(workers: Iterable[Worker], *, pid: int, node: str) -> Worker | None:
    """Return what the ledger knows of this very start of a worker; None before it has joined."""
    return next((each for each in workers if each.pid == pid and each.name == node), None)


def web_url(host: str, port: int) -> str:
    """Return the URL under which this machine reaches the service."""
    address = address_to_ask(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a service says that can be submitted to it."""

    names: tuple[str, ...] = ()
    # Which task modules it could not import, a sentence for each.
    unloaded: tuple[str, ...] = ()
    # Whether it said anything at all.
    is_told: bool = False


def ask_offer(url: str, *, key: str) -> Offer:
    """Return what can be submitted to a service; nothing when it does not say."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TELL_SECONDS)
    try:
        connection.request("GET", "/task-types", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        found = json.loads(answer.read()) if answer.status == http.client.OK else {}
        return Offer(
            names=tuple(str(each["name"]) for each in found.get("task_types", ())),
            unloaded=tuple(map(str, found.get("unloaded", ()))),
            is_told="task_types" in found,
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return Offer()
    finally:
        connection.close()


def answers_ok(host: str, port: int, path: str) -> bool:
    """Say whether a server answers 200."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
