"""Telling those who wait that tasks have ended, and keeping a copy for plain Celery clients.

On Redis each completion batch writes Celery's own `celery-task-meta-<id>` keys and publishes them
in one script. They are a cache and a wake-up call: whoever wants the truth reads the ledger, or
believes what is signed (`signing`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import redis

from celeriac.core.outcome import Ended
from celeriac.core.task import TaskId
from celeriac.engine.broker import broker_errors, connect_once, connect_to_results, is_redis
from celeriac.engine.metas import text_of_ended, text_of_progress
from celeriac.engine.notice import Notice, Pause
from celeriac.engine.signing import Signer, is_worth_signing
from celeriac.engine.subscriptions import Subscription, Subscriptions

logger = logging.getLogger(__name__)

_META = "celery-task-meta-"
_TELL = resources.files(__package__).joinpath("tell.lua").read_text()
_SHOW = resources.files(__package__).joinpath("show.lua").read_text()
# Whoever waits for many tasks reads the ledger once for all that were told together.
_MOST_SIGNED = 8
# Of what is told in one script at the most: it keeps everybody else waiting, and the broker takes
# no text of more than 512 MB.
_MOST_AT_ONCE = 500
_MOST_LETTERS = 1_000_000
# How long a waiter trusts that it would have been told, before it reads the ledger anyway.
_TRUST_SECONDS = 1.0
# An end is told after it was written down, and clocks differ.
_BEFORE = timedelta(seconds=10)


def channel_of(task_id: TaskId) -> str:
    """Return where a task's end is announced; its copy for plain Celery clients has the same name.

    Only on Redis.
    """
    return _META + task_id


class _Word:
    """Waiting on the channel where Celery's result cache is published."""

    def __init__(self, subscription: Subscription, errors: tuple[type[BaseException], ...]) -> None:
        self._subscription = subscription
        self._errors = errors
        self._pause: Pause | None = None

    def wait(self, longest: float | None) -> bytes | None:
        """Return when something was published, or after a second at the most."""
        if self._pause is not None:
            self._pause.wait(longest)
            return None
        try:
            return self._subscription.wait(
                _TRUST_SECONDS if longest is None else min(_TRUST_SECONDS, longest)
            )
        except self._errors:
            self._pause = Pause()
            return None


class Notices:
    """The broker as a bell for those who wait for results."""

    def __init__(self, app: Any, *, keep: timedelta, signer: Signer, url: str = "") -> None:
        """Prepare; nothing is connected.

        Args:
            app: The Celery app.
            keep: How long a result's copy stays.
            signer: Signs results, so that those who wait believe them.
            url: Where plain Celery clients look for results; the broker if empty.
        """
        self._app = app
        self._keep_seconds = max(int(keep.total_seconds()), 1)
        self._signer = signer
        self._url = url
        self._is_redis = bool(url) or is_redis(app)
        self._lock = threading.Lock()
        self._connection: Any = None
        self._results: Any = None
        self._script: Any = None
        self._subscriptions = Subscriptions(lambda: self._client().pubsub(), lambda: self._errors)
        self._away_until = 0.0
        # Since when some ends may not have been told.
        self._missed_since: datetime | None = None

    def tell(self, ended: Sequence[Ended]) -> bool:
        """Publish that tasks have ended; False when the broker, being away, missed it."""
        if not ended or not self._is_redis:
            return True
        if time.monotonic() < self._away_until:
            self.miss(datetime.now(UTC))
            return False
        try:
            for bite in _bites(ended):
                self._tell_again(bite)
        except self._errors as error:
            self._away_until = time.monotonic() + 1.0
            self.miss(datetime.now(UTC))
            self._drop()
            logger.warning(
                "results were not announced: the broker is away",
                extra={"count": len(ended), "error": type(error).__name__},
            )
            return False
        return True

    def miss(self, since: datetime) -> None:
        """Take note that ends may have been told to nobody since a moment, or a little before."""
        if not self._is_redis:
            # Nobody is ever told: plain clients look nowhere that we write.
            return
        since -= _BEFORE
        with self._lock:
            if self._missed_since is None or since < self._missed_since:
                self._missed_since = since

    def take_missed(self) -> datetime | None:
        """Return since when ends may have been missed, once, and when they can be told again."""
        if self._missed_since is None or time.monotonic() < self._away_until:
            return None
        try:
            self._client().ping()
        except self._errors:
            self._away_until = time.monotonic() + 1.0
            self._drop()
            return None
        with self._lock:
            since, self._missed_since = self._missed_since, None
        return since

    def show(self, progress: Sequence[tuple[TaskId, str]]) -> None:
        """Keep what running tasks say of themselves where plain Celery clients look for it."""
        if not self._is_redis or time.monotonic() < self._away_until:
            return
        texts: list[bytes] = []
        for task_id, text in progress:
            texts += ((_META + task_id).encode(), text_of_progress(task_id, text))
        try:
            client = self._client()
            client.eval(_SHOW, 0, self._keep_seconds, *texts)
        except self._errors:
            # The next word comes soon, and the ledger has this one.
            self._away_until = time.monotonic() + 1.0
            self._drop()

    def _tell_again(self, ended: Sequence[Ended]) -> None:
        was_connected = self._connection is not None or self._results is not None
        try:
            self._tell(ended)
        except self._errors as error:
            # It may lead to a broker that was started anew since, at another port. To tell twice
            # of one end harms nobody. One that is there and does not answer, as a stopped process,
            # would only be waited for twice.
            if not was_connected or isinstance(error, redis.TimeoutError):
                raise
            self._drop()
            self._tell(ended)

    def _tell(self, ended: Sequence[Ended]) -> None:
        now = datetime.now(UTC)
        texts: list[bytes] = []
        for each in ended:
            text = text_of_ended(each, at=(each.finished_at or now).isoformat())
            if len(ended) <= _MOST_SIGNED and is_worth_signing(each):
                text = self._signer.sign(text)
            texts += ((_META + each.task_id).encode(), text)
        client = self._client()
        if self._script is None:
            self._script = client.register_script(_TELL)
        # Three texts and not two for each task: the client makes every one ready to be sent.
        self._script(
            args=[
                self._keep_seconds,
                " ".join([str(len(text)) for text in texts]),
                b"".join(texts),
            ],
            client=client,
        )

    @contextmanager
    def listening(self, *task_ids: TaskId) -> Iterator[Notice]:
        """Give something to wait at for the end of a task, or of any of several.

        Whatever ends after this call is noticed, so read the ledger once before waiting.
        """
        if not self._is_redis:
            yield Pause()
            return
        with self._subscriptions.listening([_META + each for each in task_ids]) as subscription:
            if subscription is None:
                self._drop()
                yield Pause()
            else:
                yield _Word(subscription, self._errors)

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._drop()

    @property
    def _errors(self) -> tuple[type[BaseException], ...]:
        if self._url:
            return (redis.RedisError, OSError)
        return broker_errors(self._connection or self._app.connection_for_write())

    def _client(self) -> Any:
        with self._lock:
            if self._url:
                self._results = self._results or connect_to_results(self._url)
                return self._results
            if self._connection is None:
                self._connection = connect_once(self._app)
            return self._connection.default_channel.client

    def _drop(self) -> None:
        self._subscriptions.close()
        with self._lock:
            connection, self._connection = self._connection, None
            results, self._results = self._results, None
        if connection is not None:
            connection.release()
        if results is not None:
            results.close()


def _bites(ended: Sequence[Ended]) -> Iterator[list[Ended]]:
    """Yield ends as they are told together."""
    bite: list[Ended] = []
    letters = 0
    for each in ended:
        own = len(each.result or "")
        if bite and (letters + own > _MOST_LETTERS or len(bite) >= _MOST_AT_ONCE):
            yield bite
            bite, letters = [], 0
        bite.append(each)
        letters += own
    yield bite


def create_notices(app: Any, *, keep: timedelta, signer: Signer, adopts: bool) -> Notices:
    """Return the notices of an app; of one with plain clients, where and as long as they expect."""
    backend = app.conf.result_backend
    if not adopts or not str(backend or "").startswith(("redis://", "rediss://")):
        return Notices(app, keep=keep, signer=signer)
    expires = app.conf.result_expires
    if isinstance(expires, int | float):
        expires = timedelta(seconds=expires)
    return Notices(app, keep=expires or keep, signer=signer, url=str(backend))
