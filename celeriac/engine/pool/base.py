"""The part of a Celery pool that is the same for every runner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool
from celery.worker import state as worker_state

from celeriac.core.task import ClaimedTask, TaskId
from celeriac.engine.adoption import Adoption
from celeriac.engine.bells import Bells
from celeriac.engine.catalogue import Catalogue
from celeriac.engine.garbage import look_again
from celeriac.engine.identity import new_worker
from celeriac.engine.own_code import code_version
from celeriac.engine.pool.mailbox import Mailbox
from celeriac.engine.pool.pauses import PausedConsumer
from celeriac.engine.pool.runner import Runner
from celeriac.engine.pool.thread import PoolThread
from celeriac.engine.pool.told import Told
from celeriac.engine.runtime import Engine

logger = logging.getLogger(__name__)

# How often messages of others are looked for that no slot is free for, and how many are taken then.
_ADOPT_SECONDS = 0.25
_MOST_ADOPTIONS = 8
_MOST_ADOPTED = 500


class LedgerPool(BasePool):
    """A Celery pool whose tasks are claimed from the ledger and completed in it.

    Celery's worker calls it in its main thread only.
    """

    # Waiting for room is the pool's own business: what is claimed is bounded by the pacer.
    uses_semaphore = False
    signal_safe = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._engine: Engine = self.app.celeriac
        self._hostname = (self.options.get("initargs") or (None, "celery@localhost"))[1]
        self._mailbox = Mailbox()
        self._has_hub = False
        # Celery's consumer, once it consumes, and the prefetch that it was told.
        self._consumer: Any = None
        self._prefetched = 0
        self._paused = PausedConsumer(self.app)
        self._is_closed = False
        self._is_told_to_stop = False
        self._runner: Runner
        self._thread: PoolThread
        self._bells: Bells
        # Takes in what plain Celery producers send; None where their messages are refused.
        self.adoption: Adoption | None = None

    def create_runner(self) -> Runner:
        """Return what runs the tasks; called before any thread starts."""
        raise NotImplementedError

    # ---- Celery's side

    def on_start(self) -> None:
        """Start the runner, then the threads: whatever forks must do so first."""
        self._runner = self.create_runner()
        # Now, and not when it joins again: the files may be others by then.
        version = code_version(self.app)
        names = frozenset(Catalogue(self.app).names())
        self._bells = Bells(
            self._engine.publisher.ring, self._engine.tell_ended, self._engine.notices.show
        )
        self._thread = PoolThread(
            self._engine,
            self._runner,
            Told(self._post),
            describe=lambda: new_worker(
                name=self._hostname,
                queues=self._queues(),
                pool=self._runner.name,
                slots=self._runner.slots,
                code_version=version,
                task_names=names,
            ),
            queues=self._queues,
            limits=self._limits,
            bells=self._bells,
            prefetch=lambda count: self._post(self._set_prefetch, count),
            paused=lambda names: self._post(self._set_paused, names),
        )
        signals.worker_shutting_down.connect(self._on_told_to_stop)
        self._engine.on_cancel = self._thread.wake
        self._bells.start()
        self._thread.start()
        if self._engine.adopts:
            self.adoption = Adoption(self.app, self._engine, self._post)
            self.adoption.start()
        self._engine.start_background()
        # What stands here by now stays: the collector need not walk through it again and again
        # while tasks come and go by the thousand.
        look_again()

    def register_with_event_loop(self, loop: Any) -> None:
        """Have the event loop do what the pool's thread asks of it."""
        self._has_hub = True
        self._mailbox.register(loop)
        if self.adoption is not None:
            # Again with every connection, which ends all that was to be called.
            loop.call_repeatedly(_ADOPT_SECONDS, self._adopt)

    def on_apply(self, target: Any, args: Any, kwargs: Any = None, **options: Any) -> None:
        """Take a message of anybody; whether its task runs here is decided by the claim.

        Raises:
            TypeError: It names no task: its id is no text.
        """
        request = options["accept_callback"].__self__
        if not isinstance(request.id, str):
            raise TypeError("a task's id is a text")
        self.receive_all([request])

    def receive_all(self, requests: Sequence[Any]) -> None:
        """Take doorbells."""
        self._thread.receive_all(requests)

    def meet_stranger(self, task_id: TaskId, name: str) -> bool:
        """Take a task whose doorbell came and that has no function here; False at the end.

        Left unacknowledged, the doorbell then goes to another worker with all others.
        """
        if self._is_told_to_stop:
            return False
        self._thread.meet_stranger(task_id, name)
        return True

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have something called by the event loop, after what it is about to do."""
        self._mailbox.post(call)

    def consumes_by(self, consumer: Any) -> None:
        """Take the consumer from which doorbells come now; a new connection has new settings."""
        self._consumer = consumer
        if self._prefetched:
            self._set_prefetch(self._prefetched)
        self._paused.reconnected(consumer)

    def on_stop(self) -> None:
        """Finish what runs, give back the rest, and leave."""
        self._end(kill=False)

    def on_terminate(self) -> None:
        """Stop what runs at once, give everything back, and leave."""
        self._end(kill=True)

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Leave a running task to the ledger.

        Celery calls this for a task that is revoked, which the ledger is told of at once and
        which ends as cancelled, and in a cold shutdown, which gives the task back.
        """
        logger.debug("a task's process was to be stopped", extra={"pid": pid})

    def grow(self, n: int = 1) -> None:
        """Add slots."""
        self._resize(self._runner.slots + n)

    def shrink(self, n: int = 1) -> None:
        """Take slots away; what runs in them is finished first."""
        self._resize(max(0, self._runner.slots - n))

    @property
    def num_processes(self) -> int:
        """How many tasks run at the same time."""
        return self._runner.slots

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        info.update(self._runner.facts())
        info["counters"] = self._engine.counters.snapshot()
        return info

    # ---- our side

    def _adopt(self) -> None:
        """Take in what others sent, although every slot is taken and the window is full.

        In the broker it would be as safe as that is; in the ledger it is a task.
        """
        tasks = getattr(self._consumer, "task_consumer", None)
        take = getattr(getattr(tasks, "channel", None), "take_foreign", None)
        if take is None or self.adoption is None or self._is_told_to_stop:
            return
        for _ in range(_MOST_ADOPTIONS):
            if not self.adoption.has_room or not take(_MOST_ADOPTED):
                return

    def _resize(self, slots: int) -> None:
        self._runner.resize(slots)
        self._thread.wake()

    def _on_told_to_stop(self, **_: Any) -> None:
        """Take nothing more from now on; told again, wait for nothing.

        Celery calls this in the handler of a signal, and the pool's end comes later: after the
        task that a solo worker runs, for one.
        """
        # Noted first: the next signal's handler may come within this one.
        is_told_again, self._is_told_to_stop = self._is_told_to_stop, True
        self._thread.stop(kill=is_told_again)

    def _set_prefetch(self, count: int) -> None:
        self._prefetched = count
        qos = getattr(self._consumer, "qos", None)
        if qos is not None:
            # Celery's loop tells the broker when it differs from what it told last.
            qos.value = count

    def _set_paused(self, names: frozenset[str]) -> None:
        # Without an event loop this would be another thread's connection; the claim refuses.
        if self._has_hub:
            self._paused.pause(self._consumer, names)

    def _post(self, call: Any, *args: Any) -> None:
        if self._has_hub:
            self._mailbox.post(call, *args)
        else:
            self._call_without_hub(call, *args)

    def _call_without_hub(self, call: Any, *args: Any) -> None:
        # Without an event loop Celery's own pools make these calls from their threads, too.
        call(*args)

    def _queues(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.app.amqp.queues.consume_from)

    def _limits(self, claimed: ClaimedTask, request: Any) -> tuple[float | None, float | None]:
        """Return a task's soft and hard limit: its own, its function's, the worker's."""
        task = request.task
        soft = claimed.soft_timeout_seconds or task.soft_time_limit
        hard = claimed.timeout_seconds or task.time_limit
        return soft or self.options.get("soft_timeout"), hard or self.options.get("timeout")

    def _end(self, *, kill: bool) -> None:
        if self._is_closed:
            return
        self._thread.stop(kill=kill)
        # The event loop has ended; what the thread still posts is done here. A second signal
        # asks for a cold shutdown while this waits for the last task.
        while not self._thread.join(0.05):
            self._mailbox.empty()
            if worker_state.should_terminate is not None:
                self._thread.stop(kill=True)
        if self._is_closed:
            # The second signal came in this loop, and its handler has done the rest.
            return
        self._is_closed = True
        self._mailbox.empty()
        if self.adoption is not None:
            self.adoption.stop(seconds=5.0)
            self._mailbox.empty()
        self._bells.stop(seconds=5.0)
        self._engine.close()
