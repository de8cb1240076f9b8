"""The HTTP service on a free port, in a thread of the tests, with a ledger of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn
from fastapi import FastAPI

from celeriac.core.user import Role
from celeriac.files.store import FolderStore
from celeriac.ledger.open import Ledger
from celeriac.service.access import AccessService
from celeriac.service.first_steps import FirstSteps
from celeriac.service.keys import KeyService
from celeriac.service.password_links import PasswordLinks
from celeriac.service.passwords import Hasher
from celeriac.service.queues import QueueService
from celeriac.service.sessions import Sessions
from celeriac.service.start_links import StartLinks
from celeriac.service.submitting import SubmitService
from celeriac.service.task_types import Catalogue, TaskTypeService
from celeriac.service.tasks import TaskService
from celeriac.service.tokens import Tokens, derive_key
from celeriac.service.users import UserService
from celeriac.settings import Settings
from celeriac.web.app import create_app
from celeriac.web.ends import Ends
from celeriac.web.flower.upstream import Upstream
from celeriac.web.hashing import HashThreads
from celeriac.web.limits import Limiter
from celeriac.web.live.hub import Hub
from celeriac.web.page_tokens import PageTokens
from celeriac.web.parts import Limits, Parts
from tests.fakes import (
    NOON,
    Clock,
    ListedCatalogue,
    RecordingPublisher,
    RecordingWorkers,
    SpokenChanges,
    open_test_ledger,
    process_type,
)
from tests.servers.processes import wait_until

KEY = "the-first-key-has-48-random-bytes-in-real-life-1"
PASSWORD = "four walnut umbrellas dancing"
# Weak on purpose: what is tested here is not the hash.
HASHER = Hasher(memory_kib=64, passes=1)
# Made once: it takes longer to make than a request takes to be served.
_NO_TLS = httpx.create_ssl_context(verify=False, trust_env=False)
UNLIMITED = {"rate_limit": "100000/second", "login_limit": "100000/second"}


class Away:
    """Stands where the ledger stood, and answers as a database that is away."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


class SwitchedLedger:
    """A real ledger that can be taken away and given back."""

    def __init__(self, ledger: Ledger) -> None:
        self.real = ledger
        self.error: Exception | None = None

    @property
    def tasks(self) -> Any:
        """The tasks, or the error."""
        return Away(self.error) if self.error else self.real.tasks

    @property
    def submissions(self) -> Any:
        """Where tasks come in, or the error."""
        return Away(self.error) if self.error else self.real.submissions

    @property
    def leases(self) -> Any:
        """The leases, or the error."""
        return Away(self.error) if self.error else self.real.leases

    @property
    def users(self) -> Any:
        """The users, or the error."""
        return Away(self.error) if self.error else self.real.users

    @property
    def settings(self) -> Any:
        """The stored settings, or the error."""
        return Away(self.error) if self.error else self.real.settings

    @property
    def keys(self) -> Any:
        """The keys, or the error."""
        return Away(self.error) if self.error else self.real.keys

    @property
    def queues(self) -> Any:
        """The queues, or the error."""
        return Away(self.error) if self.error else self.real.queues

    @property
    def audit(self) -> Any:
        """The audit trail, or the error."""
        return Away(self.error) if self.error else self.real.audit

    def ping(self) -> None:
        """Answer, or raise the error."""
        if self.error:
            raise self.error
        self.real.ping()


class Server:
    """A real server in a thread, which serves one app after another."""

    def __init__(self) -> None:
        self.app: FastAPI | None = None
        self._loop = asyncio.new_event_loop()
        config = uvicorn.Config(
            self._serve, port=0, log_config=None, lifespan="off", interface="asgi3"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self._server.started, "the server has started", pause=0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def begin(self, app: FastAPI) -> None:
        """Start an app and serve it from now on."""
        self.app = app
        self._lifespan = app.router.lifespan_context(app)
        self._wait(self._lifespan.__aenter__())

    def end(self) -> None:
        """Stop the app that is served."""
        self._wait(self._lifespan.__aexit__(None, None, None))
        self.app = None

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with closing(self._loop):
            self._loop.run_until_complete(self._server.serve())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def _wait(self, what: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=20)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


class Service:
    """The service with everything a test may look at."""

    def __init__(
        self,
        folder: Path,
        server: Server,
        *,
        broker_url: str = "memory://",
        catalogue: Catalogue | None = None,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = Clock(NOON)
        self.publisher = RecordingPublisher()
        self.workers = RecordingWorkers()
        self.changes = SpokenChanges()
        self.ledger = open_test_ledger(folder, clock=self.clock)
        self.switched = SwitchedLedger(self.ledger)
        self.settings = Settings(
            data_dir=folder, broker_url=broker_url, **{**UNLIMITED, **settings}
        )
        self.started: list[str] = []
        self.app = self._compose(
            catalogue or ListedCatalogue(process_type(), process_type(name="report"))
        )
        self._server = server
        self.url = server.url
        self._clients: list[httpx.Client] = []

    def __enter__(self) -> Self:
        self._server.begin(self.app)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self._server.end()
        self.ledger.close()

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """Return a client that sends a token, or none."""
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        client = httpx.Client(base_url=self.url, headers=sent, verify=_NO_TLS, timeout=20)
        self._clients.append(client)
        return client

    def add_user(self, name: str, role: Role = Role.SUBMITTER) -> str:
        """Add a user and return a token of theirs."""
        user = UserService(self.ledger, HASHER).add_user(name, PASSWORD, role=role)
        return self.tokens.issue(user).text

    def signed_in(self, name: str, role: Role = Role.SUBMITTER) -> httpx.Client:
        """Add a user and return a client of theirs."""
        return self.client(self.add_user(name, role))

    def _compose(self, catalogue: Catalogue) -> FastAPI:
        ledger = self.switched
        self.tokens = Tokens([KEY], lifetime=timedelta(minutes=15), now=self.clock)
        self.limiter = Limiter(lambda: self.settings.broker_url)
        tasks = TaskService(ledger, self.workers, now=self.clock)
        self.files = FolderStore(self.settings.files_folder)
        access = AccessService(ledger, HASHER, self.tokens, now=self.clock)
        keys = KeyService(ledger, now=self.clock)
        task_types = TaskTypeService(catalogue)
        parts = Parts(
            settings=self.settings,
            tasks=tasks,
            submitting=SubmitService(
                ledger,
                catalogue,
                self.publisher,
                access,
                now=self.clock,
                room=self.settings.accept_queue,
            ),
            task_types=task_types,
            access=access,
            keys=keys,
            first_steps=FirstSteps(tasks, keys, task_types),
            queues=QueueService(ledger),
            users=UserService(ledger, HASHER),
            sessions=Sessions(
                [derive_key(KEY, "sessions")],
                lifetime=self.settings.session_lifetime,
                now=self.clock,
            ),
            start_links=StartLinks(ledger, now=self.clock),
            password_links=PasswordLinks(ledger, now=self.clock),
            form_key=derive_key(KEY, "forms"),
            page_tokens=PageTokens([derive_key(KEY, "page tokens")]),
            files=self.files,
            limiter=self.limiter,
            ends=Ends(lambda: self.settings.broker_url),
            limits=Limits.from_settings(self.settings),
            hash_threads=HashThreads(2),
            hub=Hub(self.changes.listen, tasks, now=self.clock),
            ping_ledger=ledger.ping,
            remember=ledger.audit.add,
            flower=Upstream(self.settings.flower_url) if self.settings.flower_url else None,
        )
        return create_app(parts, start=self._note("start"), stop=self._note("stop"))

    def _note(self, word: str) -> Callable[[], None]:
        return lambda: self.started.append(word)
