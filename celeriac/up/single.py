"""Everything in this one process: for Windows, and for machines with room for no more.

The broker is kombu's `memory://`, the worker runs threads, uvicorn and Flower have threads of their
own. It may be killed at any time: the ledger is the truth, and rings again at the next start.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from celeriac.core.trouble import Trouble
from celeriac.errors import DataFolderLostError, ProgramFailedError
from celeriac.service.secrets import obtain_secret
from celeriac.up.broker import write_private
from celeriac.up.children import HURRIED
from celeriac.up.late_ledger import LateLedger
from celeriac.up.ports import address_to_ask
from celeriac.up.programs import (
    FLOWER_PASSWORD_FILE,
    FLOWER_USER,
    WORKER_GRACE,
    Surroundings,
    answers_ok,
    environment_for,
    find_joined,
    flower_url,
    web_url,
)
from celeriac.up.report import STOPPING, Printer, note_line, ready_line, warning_line
from celeriac.up.single_log import logging_to
from celeriac.up.supervisor import ENDING
from celeriac.up.troubles import Troubles
from celeriac.up.unloaded import Unloaded
from celeriac.up.welcome import (
    check_host,
    choose_flower_port,
    choose_web_port,
    tell_ledger,
    tell_ready,
)

if TYPE_CHECKING:
    import threading

    import uvicorn

_LOOK_SECONDS = 0.05
_WEB_GRACE_SECONDS = 3


class OneProcess:
    """A machine with everything on it, in the process that starts it."""

    def __init__(
        self,
        around: Surroundings,
        printer: Printer,
        *,
        began: float,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare it.

        Args:
            around: What it runs with.
            printer: Where to tell how it goes.
            began: When the start began, by the monotonic clock.
            check: Called before every look; what it raises ends everything.
        """
        self._around = around
        self._check_folder = check
        self._printer = printer
        self._began = began
        self._ledger = LateLedger(around.settings.ledger_url)
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._unloaded = Unloaded(printer.say, has_reload=False)
        # Filled by the worker's thread.
        self._troubles: deque[Trouble] = deque()

    def run(self) -> None:
        """Start everything, keep it running, end it in order.

        Raises:
            ProgramFailedError: A part of it ended by itself.
            DataFolderLostError: The data folder or its ledger went away meanwhile.
        """
        with ExitStack() as ends, self._listening():
            ends.callback(self._printer.say, "  stopped")
            ends.callback(self._ledger.close)
            log = self._around.log_of("celeriac")
            level = self._around.settings.log_level
            ends.enter_context(logging_to(log, level, self._printer.say, self._unloaded.take))
            try:
                self._start(ends)
            except _StopRequestedError:
                self._printer.say(STOPPING)
            except DataFolderLostError:
                self._printer.say(STOPPING)
                raise

    def _start(self, ends: ExitStack) -> None:
        settings = self._around.settings
        check_host(settings.host, self._ledger, self._printer)
        port = choose_web_port(settings, self._printer)
        flower_port = choose_flower_port(settings, self._printer)
        password = obtain_secret(self._around.folder, FLOWER_PASSWORD_FILE)
        url = web_url(settings.host, port)
        # The port is how programs beside us see whether we are there.
        broker = f"memory://127.0.0.1:{port}//"
        self._be_a_program(broker, flower_url(flower_port, password))
        self._printer.say(note_line("broker", "in this process"))
        tell_ledger(self._ledger, settings.ledger_url, self._printer)

        from celeriac.engine.apps import own_queues
        from celeriac.engine.embedded import EmbeddedFlower, EmbeddedWorker

        app = import_module(self._around.project.celery).app
        app.celeriac.on_trouble = self._troubles.extend
        web = _Web(self._around, port=port)
        node = f"celeriac@{socket.gethostname()}"
        worker = EmbeddedWorker(app, name=node, slots=settings.concurrency, queues=own_queues(app))
        self._start_part(
            *(ends, "worker", worker),
            stop=partial(self._stop_worker, worker),
            find_ready=partial(self._find_worker, node),
        )
        self._start_part(ends, "web", web, stop=web.stop, find_ready=partial(web.find_ready, url))
        write_private(settings.broker_file, broker + "\n")
        ends.callback(settings.broker_file.unlink, missing_ok=True)
        flower = EmbeddedFlower(
            app, port=flower_port, user=FLOWER_USER, password=password, prefix="flower"
        )
        began = time.monotonic()
        if flower.start():
            took = timedelta(seconds=time.monotonic() - began)
            self._printer.say(ready_line("flower", "behind sign-in at /flower", took))
        ends.callback(flower.stop)
        tell_ready(
            *(self._around, self._ledger, self._printer),
            url=url,
            began=self._began,
            unloaded=self._unloaded,
        )
        self._watch(Troubles(self._printer.say, url=url), worker=worker, web=web)

    def _be_a_program(self, broker: str, flower: str) -> None:
        # What a program of several would be started with.
        os.environ.update(environment_for(self._around, broker_url=broker))
        if not self._around.settings.flower_url:
            os.environ["CELERIAC_FLOWER_URL"] = flower
        folder = self._around.project.folder
        os.chdir(folder)
        sys.path.insert(0, str(folder))

    def _find_worker(self, node: str) -> str | None:
        joined = find_joined(self._ledger.list_workers(), pid=os.getpid(), node=node)
        if joined is None:
            return None
        return f"{joined.slots} threads   queues {', '.join(joined.queues)}"

    def _start_part(
        self,
        ends: ExitStack,
        name: str,
        part: Any,
        *,
        stop: Callable[[], None],
        find_ready: Callable[[], str | None],
    ) -> None:
        began = time.monotonic()
        part.start()
        # Before it is ready: whoever ends us meanwhile ends it, too.
        ends.callback(stop)
        while (facts := find_ready()) is None:
            self._wait(_LOOK_SECONDS)
            self._check(name, part)
        self._printer.say(ready_line(name, facts, timedelta(seconds=time.monotonic() - began)))

    def _watch(self, troubles: Troubles, **parts: Any) -> None:
        while True:
            self._wait(0.5)
            troubles.tell([self._troubles.popleft() for _ in range(len(self._troubles))])
            for name, part in parts.items():
                self._check(name, part)

    def _check(self, name: str, part: Any) -> None:
        if not part.is_alive:
            raise ProgramFailedError(name, 1, str(self._around.log_of("celeriac")))

    def _stop_worker(self, worker: Any) -> None:
        worker.stop()
        deadline = time.monotonic() + WORKER_GRACE.total_seconds()
        while not worker.join(_LOOK_SECONDS):
            if time.monotonic() > deadline or not self._signals.empty():
                self._printer.say(
                    warning_line("worker", "gives back what it runs, which then begins anew")
                )
                worker.hurry()
                # Threads cannot be killed: what does not end now ends with the process.
                worker.join(HURRIED.total_seconds())
                return

    def _wait(self, seconds: float) -> None:
        try:
            self._signals.get(timeout=seconds)
        except Empty:
            self._check_folder()
            return
        raise _StopRequestedError

    @contextmanager
    def _listening(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, lambda number, _: self._signals.put(number))
            for number in ENDING
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _StopRequestedError(Exception):
    """Somebody asked us to end."""


class _Web:
    """The HTTP service in a thread."""

    def __init__(self, around: Surroundings, *, port: int) -> None:
        self._host = around.settings.host
        self._port = port
        self._project = around.project
        self._end_waits: Callable[[], None] | None = None
        self._server: uvicorn.Server
        self._thread: threading.Thread

    def start(self) -> None:
        """Import the service, and begin to serve it."""
        import threading

        import uvicorn

        module, _, attribute = self._project.web.partition(":")
        app: Any = getattr(import_module(module), attribute)
        # An app of the project's own may have none.
        self._end_waits = getattr(getattr(app, "state", None), "end_waits", None)
        config = uvicorn.Config(
            app,
            host=self._host,
            port=self._port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_WEB_GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="celeriac-web", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def find_ready(self, url: str) -> str | None:
        """Return where it answers, None before it does."""
        is_ready = self._server.started and answers_ok(
            address_to_ask(self._host), self._port, "/readyz"
        )
        return url if is_ready else None

    def stop(self) -> None:
        """Answer what was asked, and end."""
        if self._end_waits is not None:
            # The server waits for every answer: a stream of events has no end of its own, and
            # whoever waits for a task's end may do so for a minute.
            self._end_waits()
        self._server.should_exit = True
        self._thread.join(_WEB_GRACE_SECONDS + 2.0)
