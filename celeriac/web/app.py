"""The HTTP service of an engine, composed."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, Protocol

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from celeriac import __version__
from celeriac.core.moments import utc_now
from celeriac.engine.catalogue import Catalogue
from celeriac.engine.runtime import Engine
from celeriac.engine.workers import Workers
from celeriac.errors import SettingsError
from celeriac.ledger.audit import Audit
from celeriac.ledger.keys import ApiKeys
from celeriac.ledger.leases import Leases
from celeriac.ledger.queues import Queues
from celeriac.ledger.stored_settings import StoredSettings
from celeriac.ledger.submissions import Submissions
from celeriac.ledger.tasks import Tasks
from celeriac.ledger.users import Users
from celeriac.service.access import AccessService
from celeriac.service.first_steps import FirstSteps
from celeriac.service.keys import KeyService
from celeriac.service.password_links import PasswordLinks
from celeriac.service.passwords import MOST_HASHES_AT_ONCE, Hasher
from celeriac.service.queues import QueueService
from celeriac.service.secrets import signing_keys
from celeriac.service.sessions import Sessions
from celeriac.service.start_links import StartLinks
from celeriac.service.submitting import SubmitService
from celeriac.service.task_types import TaskTypeService
from celeriac.service.tasks import TaskService
from celeriac.service.tokens import Tokens, derive_key
from celeriac.service.users import UserService
from celeriac.web.access_log import mask_access_log
from celeriac.web.api import health, keys, queues, submit, task_types, tasks, token
from celeriac.web.dashboard import access as dashboard_access
from celeriac.web.dashboard import first_steps as dashboard_first_steps
from celeriac.web.dashboard import guard as dashboard_guard
from celeriac.web.dashboard import submit as dashboard_submit
from celeriac.web.dashboard import tasks as dashboard_tasks
from celeriac.web.dashboard.rendering import warm_up as warm_up_pages
from celeriac.web.ends import Ends
from celeriac.web.fast_lane import FastLane
from celeriac.web.flower import routes as flower
from celeriac.web.flower.upstream import Upstream
from celeriac.web.hashing import HashThreads
from celeriac.web.limits import Limiter
from celeriac.web.live import routes as live
from celeriac.web.live.ending import told_of_the_end
from celeriac.web.live.hub import Hub
from celeriac.web.openapi import describe
from celeriac.web.page_tokens import PageTokens
from celeriac.web.parts import Limits, Parts
from celeriac.web.problems import add_problem_handlers
from celeriac.web.shell import Shell

logger = logging.getLogger(__name__)

_YOUNG_OBJECTS = 10_000
_DESCRIPTION = "Runs Python functions in the background, and remembers every run."


class CeleryApp(Protocol):
    """A Celery app that Celeriac is installed on."""

    @property
    def celeriac(self) -> Engine:
        """Its engine."""
        ...

    @property
    def loader(self) -> Any:
        """What imports its task modules."""
        ...


class LateLedger:
    """An engine's ledger, opened by whoever asks first.

    The service starts while the database is away, says 503, and works once it is back.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def tasks(self) -> Tasks:
        """The ledger's tasks."""
        return self._engine.ledger.tasks

    @property
    def submissions(self) -> Submissions:
        """Where the ledger's tasks come in."""
        return self._engine.ledger.submissions

    @property
    def leases(self) -> Leases:
        """The ledger's leases."""
        return self._engine.ledger.leases

    @property
    def users(self) -> Users:
        """The ledger's users."""
        return self._engine.ledger.users

    @property
    def keys(self) -> ApiKeys:
        """The ledger's keys."""
        return self._engine.ledger.keys

    @property
    def queues(self) -> Queues:
        """The ledger's queues."""
        return self._engine.ledger.queues

    @property
    def audit(self) -> Audit:
        """The ledger's audit trail."""
        return self._engine.ledger.audit

    @property
    def settings(self) -> StoredSettings:
        """What is set in the ledger while the service runs."""
        return self._engine.ledger.settings

    def ping(self) -> None:
        """Return if the ledger answers.

        Raises:
            LedgerUnavailableError: It does not.
        """
        self._engine.ledger.ping()


def create_web(celery: CeleryApp) -> FastAPI:
    """Return the HTTP service of a Celery app.

    Raises:
        SettingsError: A setting is broken, such as a key that is short or well known; or the app
            has not been moved onto the ledger.
    """
    engine = getattr(celery, "celeriac", None)
    if engine is None:
        allowed = "a Celery app that celeriac.install(app) has moved onto the ledger"
        raise SettingsError("create_web", str(getattr(celery, "main", celery)), allowed)
    mask_access_log()
    # A worker does so by itself; whoever only submits must know the tasks too.
    celery.loader.import_default_modules()
    parts = compose(engine, Catalogue(celery), Workers(engine))
    return create_app(parts, start=engine.start_background, stop=engine.stop_background)


def compose(engine: Engine, catalogue: Catalogue, workers: Workers) -> Parts:
    """Return everything the routes stand on.

    Raises:
        SettingsError: A setting is broken.
    """
    settings = engine.settings
    keys = signing_keys(settings)
    ledger = LateLedger(engine)
    hasher = Hasher()
    tasks_service = TaskService(ledger, workers, now=utc_now)
    tokens = Tokens(keys, lifetime=settings.access_token_lifetime, now=utc_now)
    session_keys = [derive_key(key, "sessions") for key in keys]
    access = AccessService(ledger, hasher, tokens, now=utc_now)
    keys_service = KeyService(ledger, now=utc_now)
    task_types = TaskTypeService(catalogue)
    return Parts(
        settings=settings,
        tasks=tasks_service,
        submitting=SubmitService(
            ledger,
            catalogue,
            engine.publisher,
            access,
            now=utc_now,
            room=settings.accept_queue,
        ),
        task_types=task_types,
        access=access,
        keys=keys_service,
        first_steps=FirstSteps(tasks_service, keys_service, task_types),
        queues=QueueService(ledger),
        users=UserService(ledger, hasher),
        sessions=Sessions(session_keys, lifetime=settings.session_lifetime, now=utc_now),
        start_links=StartLinks(ledger, now=utc_now),
        password_links=PasswordLinks(ledger, now=utc_now),
        form_key=derive_key(keys[0], "forms"),
        page_tokens=PageTokens([derive_key(key, "page tokens") for key in keys]),
        files=engine.files,
        limiter=Limiter(engine.locate_broker),
        ends=Ends(engine.locate_broker),
        limits=Limits.from_settings(settings),
        hash_threads=HashThreads(MOST_HASHES_AT_ONCE),
        hub=Hub(workers.listen, tasks_service, now=utc_now),
        ping_ledger=ledger.ping,
        remember=lambda who, action, subject, facts: ledger.audit.add(who, action, subject, facts),
        flower=Upstream(settings.flower_url) if settings.flower_url else None,
    )


def create_app(parts: Parts, *, start: Callable[[], None], stop: Callable[[], None]) -> FastAPI:
    """Return the HTTP service on its parts.

    Args:
        parts: What the routes stand on.
        start: Called when the service begins to serve.
        stop: Called when it has served its last request.
    """

    def end_waits() -> None:
        parts.hub.close()
        parts.ends.end()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_warm_up, args=(parts,), daemon=True).start()
        await run_in_threadpool(start)
        try:
            with told_of_the_end(end_waits), _few_collections():
                yield
        finally:
            await parts.hub.closed()
            await run_in_threadpool(parts.submitting.close)
            await run_in_threadpool(stop)
            await parts.ends.close()
            await parts.limiter.close()

    app = FastLane(
        {"/tasks:batch": submit.submit_batch, "/tasks/{task_id}": submit.submit_task},
        title="Celeriac",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        # These load scripts from a CDN, and the document has a route of its own.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A path means one thing: `/tasks/` is not `/tasks`.
        redirect_slashes=False,
    )
    app.state.parts = parts
    # For whoever runs the server in a thread, where no signal tells that it is to end.
    app.state.end_waits = end_waits
    for module in (submit, token, tasks, live, task_types, queues, keys, health):
        app.include_router(module.router)
    # The last one answers whatever else begins with /ui.
    for router in (
        flower.router,
        dashboard_access.router,
        dashboard_first_steps.router,
        dashboard_submit.router,
        dashboard_tasks.router,
    ):
        app.include_router(router, include_in_schema=False)
    app.add_middleware(Shell)
    add_problem_handlers(app)
    # Only what no route takes comes here: a route that finds nothing raises an error of ours.
    app.exception_handler(404)(dashboard_guard.nowhere)
    # FastAPI's own way of giving an app another document.
    app.openapi = _describer(app, parts)  # type: ignore[method-assign]
    return app


def _describer(app: FastAPI, parts: Parts) -> Callable[[], dict[str, Any]]:
    @lru_cache(maxsize=1)
    def describe_with(_: tuple[str, ...]) -> dict[str, Any]:
        return describe(app, parts.task_types.all())

    # An app may learn of tasks after it was made; then the document is written anew.
    return lambda: describe_with(parts.task_types.names())


def _warm_up(parts: Parts) -> None:
    # What takes a while to import would make the first requests wait.
    try:
        parts.limiter.warm_up()
        parts.access.warm_up()
        warm_up_pages()
    except ImportError:
        logger.exception("the service cannot be warmed up")
    # What is there by now stays: it is not to be looked through for cycles again and again.
    gc.freeze()


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let a batch of a thousand tasks be made without a look for cycles at every 700 objects."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
