"""The rarer features of Celery, as the tasks and the configuration of a user's app."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from celery import Task, bootsteps, signals
from celery.contrib.abortable import AbortableTask
from celery.worker.control import control_command, inspect_command
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer

from tests.effects import Effects, Gates
from tests.integration.apps.troubles import TroubleError

logger = logging.getLogger(__name__)

# Told of tasks and of programs, wherever they are sent.
_OF_TASKS = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry")
_OF_PROGRAMS = (
    *("worker_init", "worker_ready", "worker_process_init"),
    *("worker_shutting_down", "worker_process_shutdown", "worker_shutdown"),
)

ANNOUNCEMENTS = Queue("announcements", Exchange("announcements"), routing_key="announcements")


def leave(key: str, text: str = "") -> int:
    """Leave one line behind and return how many there are now."""
    file = os.environ.get("EFFECTS_FILE")
    if file is None:
        # A client's process, which nobody watches.
        return 0
    effects = Effects(Path(file))
    effects.add(key, pid=os.getpid(), text=text)
    return len(effects.of(key))


class Announcing(bootsteps.ConsumerStep):
    """A step of the user's: a consumer of messages that are no tasks."""

    def get_consumers(self, channel: Any) -> list[Consumer]:
        """Return what reads announcements."""
        return [
            Consumer(
                channel, queues=[ANNOUNCEMENTS], callbacks=[self.on_announcement], accept=["json"]
            )
        ]

    def on_announcement(self, body: Any, message: Any) -> None:
        """Leave a line for an announcement."""
        leave(body["key"], body["text"])
        message.ack()


class Noting(bootsteps.StartStopStep):
    """A step of the user's: something beside the worker that starts and stops with it."""

    requires = frozenset({"celery.worker.components:Pool"})

    def start(self, parent: Any) -> None:
        """Leave a line."""
        leave("step", f"start {parent.hostname}")

    def stop(self, parent: Any) -> None:
        """Leave a line."""
        leave("step", f"stop {parent.hostname}")


@control_command(args=[("key", str)], signature="KEY")
def leave_word(state: Any, key: str) -> dict[str, str]:
    """Leave a line: a control command of the user's."""
    leave(key, state.hostname)
    return {"ok": key}


@inspect_command()
def favourite_colour(state: Any) -> str:
    """Tell something: an inspect command of the user's."""
    return "green"


def add_features(app: Any) -> SimpleNamespace:
    """Add tasks, signals, steps and routes to an app, and return the tasks by name."""

    @app.task(autoretry_for=(TroubleError,), retry_backoff=1, retry_jitter=False, max_retries=2)
    def back_off(key: str) -> str:
        if leave(key) == 1:
            raise TroubleError(key)
        return "well"

    @app.task(autoretry_for=(TroubleError,), retry_backoff=1, retry_backoff_max=1, max_retries=2)
    def back_off_somehow(key: str) -> str:
        if leave(key) == 1:
            raise TroubleError(key)
        return "well"

    @app.task(autoretry_for=(Exception,), dont_autoretry_for=(TroubleError,), max_retries=2)
    def never_again(key: str) -> None:
        leave(key)
        raise TroubleError(key)

    @app.task(throws=(TroubleError,))
    def expect_trouble(key: str) -> None:
        raise TroubleError(key)

    @app.task(bind=True)
    def tell_stamps(self: Task) -> dict[str, Any]:
        request = self.request
        return {"headers": request.stamped_headers, "stamps": request.stamps}

    @app.task(bind=True)
    def tell_headers(self: Task) -> Any:
        return (self.request.headers or {}).get("tenant")

    @app.task(bind=True, base=AbortableTask)
    def until_aborted(self: Any, key: str) -> str:
        leave(f"{key}:start")
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self.is_aborted():
                leave(key)
                return "aborted"
            time.sleep(0.02)
        return "never aborted"

    @app.task
    def signalled(key: str) -> str:
        return key

    @app.task
    def signal_trouble(key: str) -> None:
        raise TroubleError(key)

    @app.task(bind=True)
    def signal_retry(self: Task, key: str) -> str:
        if not self.request.retries:
            raise self.retry(countdown=0)
        return key

    @app.task(rate_limit="2/s")
    def seldom(key: str) -> str:
        leave(key)
        return key

    @app.task
    def hurried(key: str) -> str:
        leave(key)
        return key

    @app.task
    def aside(key: str) -> str:
        leave(key)
        return key

    @app.task(bind=True)
    def where(self: Task) -> Any:
        return self.request.delivery_info["routing_key"]

    @app.task(trail=True)
    def parent_of_two(x: int) -> int:
        app.tasks[aside.name].delay(f"child-{x}")
        app.tasks[aside.name].delay(f"child-{x}")
        return x

    @app.task(bind=True, track_started=True)
    def tell_itself(self: Task) -> dict[str, Any]:
        return {"eager": self.request.is_eager, "direct": self.request.called_directly}

    @app.task
    def add_up(x: int, y: int) -> int:
        return x + y

    @app.task
    def stay(gate: str) -> str:
        leave(f"{gate}:start")
        Gates(Path(os.environ["GATES_FOLDER"])).wait(gate)
        return gate

    # For `celery beat` alone; a worker sends nothing by itself.
    app.conf.beat_schedule = {"beat": {"task": hurried.name, "schedule": 0.3, "args": ("beat",)}}
    app.conf.task_routes = {aside.name: {"queue": "aside"}}
    app.steps["consumer"].add(Announcing)
    app.steps["worker"].add(Noting)
    _connect_signals({signalled.name, signal_trouble.name, signal_retry.name})
    tasks = {
        name: task for name, task in locals().items() if isinstance(getattr(task, "name", 0), str)
    }
    return SimpleNamespace(**tasks)


def _connect_signals(names: set[str]) -> None:
    def of_task(signal: Any = None, sender: Any = None, **facts: Any) -> None:
        task_id = facts.get("task_id") or getattr(facts.get("request"), "id", None)
        if getattr(sender, "name", None) in names:
            task_id = task_id or sender.request.id
            leave(f"{signal.name}:{task_id}", str(facts.get("state") or facts.get("result") or ""))

    def of_program(signal: Any = None, **_: Any) -> None:
        leave("signal", signal.name)

    def of_publish(signal: Any = None, sender: Any = None, **facts: Any) -> None:
        if sender in names:
            headers = facts["headers"]
            leave(f"{signal.name}:{headers['id']}", headers["task"])

    def received(request: Any = None, **_: Any) -> None:
        if request.name in names:
            leave(f"task_received:{request.id}")

    def revoked(request: Any = None, **facts: Any) -> None:
        leave(f"task_revoked:{request.id}", str(facts.get("terminated")))

    for name in _OF_TASKS:
        getattr(signals, name).connect(of_task, weak=False)
    for name in _OF_PROGRAMS:
        getattr(signals, name).connect(of_program, weak=False)
    for signal in (signals.before_task_publish, signals.after_task_publish):
        # A process of tests has several such apps, and each sends the signals of all.
        signal.connect(of_publish, weak=False, dispatch_uid="features")
    signals.task_received.connect(received, weak=False)
    signals.task_revoked.connect(revoked, weak=False)
