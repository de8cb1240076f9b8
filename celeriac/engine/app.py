"""Making a Celery app that runs on the ledger, or moving an existing one onto it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from celery import Celery, concurrency

from celeriac.engine import context_stack, lots, prints, worker_options
from celeriac.engine.broker_options import celery_options
from celeriac.engine.canvas import register as register_canvas
from celeriac.engine.doorbell import CONTENT_TYPE, register_content_type
from celeriac.engine.local_broker import FILE_OPTION, find_followed, with_local_broker
from celeriac.engine.results import LedgerResult
from celeriac.engine.runtime import Engine
from celeriac.engine.transport import transport
from celeriac.errors import SettingsError
from celeriac.settings import Settings

_POOLS = {
    "prefork": "celeriac.engine.pool.processes:ProcessPool",
    "processes": "celeriac.engine.pool.processes:ProcessPool",
    "solo": "celeriac.engine.pool.solo:SoloPool",
    "threads": "celeriac.engine.pool.threads:ThreadsPool",
    "eventlet": "celeriac.engine.pool.refused:RefusedPool",
    "gevent": "celeriac.engine.pool.refused:RefusedPool",
}

_CELERYS_CONSUMER = "celery.worker.consumer:Consumer"


def create_celery(
    settings: Settings | None = None, *, name: str = "celeriac", include: Iterable[str] = ()
) -> Celery:
    """Return a Celery app whose tasks are kept in the ledger.

    Args:
        settings: How it shall run; None reads the environment, and takes the broker of an `up`
            that runs on the same data folder.
        name: The app's main name, from which Celery names tasks of `__main__`.
        include: Modules with tasks that a worker imports.

    Raises:
        SettingsError: A setting is broken.
    """
    settings = settings or with_local_broker(Settings.from_environment())
    broker = celery_options(settings.broker_url)
    followed = find_followed(settings)
    if followed is not None:
        broker["broker_transport_options"] = {FILE_OPTION: str(followed)}
    app = Celery(
        name,
        broker=broker.pop("broker_url"),
        include=list(include),
        loader="celeriac.engine.loader:TolerantLoader",
    )
    # In every thread of the process: a web thread that submits a shared task means this app.
    app.set_default()
    app.conf.update(
        task_default_queue="default",
        task_acks_late=True,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=True,
        enable_utc=True,
        timezone="UTC",
        **broker,
    )
    return install(app, settings)


def install(app: Celery, settings: Settings | None = None, *, adopt: bool = False) -> Celery:
    """Move a Celery app onto the ledger; its tasks run unchanged.

    Args:
        app: Any Celery app that has not yet sent a task.
        settings: How it shall run; None reads the environment, and the broker stays the app's.
        adopt: Whether others send to it with plain Celery: their messages become tasks of ours,
            results lie where they look for them, and an unknown id is PENDING.

    Returns:
        The same app.

    Raises:
        SettingsError: A setting is broken, or the app is configured to use pickle.
    """
    settings = settings or Settings.from_environment()
    _refuse_pickle(app)
    register_content_type()
    transport.install()
    context_stack.install()
    lots.install()
    prints.install(app)
    concurrency.ALIASES.update(_pools())
    app.amqp_cls = "celeriac.engine.amqp:LedgerAMQP"
    app.control_cls = "celeriac.engine.control:LedgerControl"
    app.events_cls = "celeriac.engine.events:LedgerEvents"
    if app.conf.worker_consumer == _CELERYS_CONSUMER:
        app.conf.worker_consumer = "celeriac.engine.consumer:LedgerConsumer"
    app.backend_cls = "celeriac.engine.backend:LedgerBackend"
    for cached in ("amqp", "control", "events"):
        app.__dict__.pop(cached, None)
    app.conf.accept_content = sorted({*app.conf.accept_content, CONTENT_TYPE})
    # Our pools tell each new consumer themselves how much to fetch. On Redis Celery would only say,
    # at length, why it does nothing of the kind (celery 5.7, worker/consumer/consumer.py).
    app.conf.worker_enable_prefetch_count_reduction = False
    # READONLY and MISCONF count as channel errors: a broker that fails over would end every worker
    # that declares its queues in that moment.
    app.conf.broker_channel_error_retry = True
    app.AsyncResult = app.subclass_with_self(LedgerResult, name="AsyncResult")
    app.celeriac = Engine(app, settings, adopts=adopt)
    worker_options.add_to(app)
    register_canvas(app)
    return app


def _pools() -> dict[str, str]:
    if sys.platform != "win32":
        return _POOLS
    # There is no fork to make children with.
    return {**_POOLS, "prefork": _POOLS["threads"], "processes": _POOLS["threads"]}


def _refuse_pickle(app: Celery) -> None:
    for setting in ("task_serializer", "result_serializer", "event_serializer"):
        if app.conf[setting] == "pickle":
            raise SettingsError(
                setting, "pickle", "json: pickled data would let the broker run any code"
            )
    accepted = app.conf.accept_content or ()
    if any(word in ("pickle", "application/x-python-serialize") for word in accepted):
        raise SettingsError(
            "accept_content", "pickle", "json: pickled data would let the broker run any code"
        )
