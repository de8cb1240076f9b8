"""A Celery worker and Flower as threads of this process, where everything runs in one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery.worker import state as worker_state

logger = logging.getLogger(__name__)

_BEGIN_SECONDS = 15.0


class EmbeddedWorker:
    """A worker of threads in a thread: Celery's own, without its signals and its banner.

    Celery keeps whether to stop in a module, so that a process has one worker at a time.
    """

    def __init__(self, app: Any, *, name: str, slots: int, queues: Sequence[str]) -> None:
        """Take what the worker is to be.

        Args:
            app: A Celery app on the ledger.
            name: Its node name.
            slots: Tasks that run at a time.
            queues: Those it serves.
        """
        self._app = app
        self._options = {
            "hostname": name,
            "pool": "threads",
            "concurrency": slots,
            "queues": list(queues),
            "task_events": True,
            # Nobody else is there to hear of it.
            "without_mingle": True,
            "without_gossip": True,
        }
        self._thread = threading.Thread(target=self._run, name="celeriac-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to finish what runs, and to end."""
        worker_state.should_stop = 0

    def hurry(self) -> None:
        """Ask it to give back what runs, and to end."""
        worker_state.should_terminate = 0

    def join(self, seconds: float) -> bool:
        """Wait for its end; False when it has not come in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._app.WorkController(**self._options).start()
        except Exception:
            # The worker's boundary: whoever started it sees that it has ended.
            logger.exception("the worker failed")


class EmbeddedFlower:
    """Flower with an event loop of its own, on the loopback."""

    def __init__(self, app: Any, *, port: int, user: str, password: str, prefix: str) -> None:
        """Take what Flower is to be.

        Args:
            app: The Celery app it shows.
            port: Where it listens.
            user: Who may ask.
            password: What whoever asks must know.
            prefix: The first part of its paths, without slashes.
        """
        self._app = app
        self._port = port
        self._credentials = f"{user}:{password}"
        self._prefix = prefix
        self._has_begun = threading.Event()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="celeriac-flower", daemon=True)

    def start(self) -> bool:
        """Begin; whether it listens."""
        self._thread.start()
        return self._has_begun.wait(_BEGIN_SECONDS) and self._thread.is_alive()

    def stop(self) -> None:
        """End."""
        self._stop()
        self._thread.join(2.0)

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            # Tasks run without it.
            logger.exception("flower failed")
        finally:
            self._has_begun.set()

    def _serve(self) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        from flower.app import Flower
        from flower.command import extract_settings, options
        from flower.urls import settings
        from tornado.ioloop import IOLoop

        options.address = "127.0.0.1"
        options.port = self._port
        options.url_prefix = self._prefix
        options.basic_auth = [self._credentials]
        extract_settings()
        loop = IOLoop.current()
        flower = Flower(capp=self._app, options=options, io_loop=loop, **settings)
        flower.start_http_server()
        self._stop = lambda: loop.add_callback(flower.stop)
        self._has_begun.set()
        flower.start()
