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
from celeriac.engine.catalogue import Catalogue
from celeriac.engine.runtime import Engine
from celeriac.engine.workers import Workers
from celeriac.errors import SettingsError
from celeriac.web.access_log import mask_access_log
from celeriac.web.api import health, keys, queues, submit, task_types, tasks, token
from celeriac.web.composing import compose
from celeriac.web.dashboard import access as dashboard_access
from celeriac.web.dashboard import first_steps as dashboard_first_steps
from celeriac.web.dashboard import guard as dashboard_guard
from celeriac.web.dashboard import submit as dashboard_submit
from celeriac.web.dashboard import tasks as dashboard_tasks
from celeriac.web.dashboard.rendering import warm_up as warm_up_pages
from celeriac.web.fast_lane import FastLane
from celeriac.web.flower import routes as flower
from celeriac.web.live import routes as live
from celeriac.web.live.ending import told_of_the_end
from celeriac.web.openapi import describe
from celeriac.web.parts import Parts
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
