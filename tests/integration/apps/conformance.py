"""An ordinary Celery app with plain tasks that use everything Celery offers them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Task, chain, group
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import AsyncResult, allow_join_result

from celeriac import File, Settings, create_celery
from celeriac.engine.typed_task import TypedTask
from tests.effects import Effects, Gates
from tests.integration.apps import asynchronous, hazards, shared
from tests.integration.apps.features import add_features
from tests.integration.apps.troubles import TroubleError

# Imported for its task, which every app of this process gets to know.
__all__ = ["app", "shared"]

app = create_celery(Settings.from_environment())
features = add_features(app)

_effects = Effects(Path(os.environ["EFFECTS_FILE"]))
waiting = asynchronous.register(app, _effects, Gates(Path(os.environ["GATES_FOLDER"])))
harmful = hazards.register(app, _effects)


def leave(key: str, text: str = "") -> int:
    """Leave one line behind and return how many there are now."""
    effects = Effects(Path(os.environ["EFFECTS_FILE"]))
    effects.add(key, pid=os.getpid(), text=text)
    return len(effects.of(key))


def wait_at(gate: str) -> None:
    """Wait until the test opens a gate."""
    Gates(Path(os.environ["GATES_FOLDER"])).wait(gate)


# Values


@app.task
def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


@app.task
def slow_add(x: int, y: int, seconds: float) -> int:
    """Return the sum after a while."""
    time.sleep(seconds)
    return x + y


@app.task
def echo(value: Any) -> Any:
    """Return what was given."""
    return value


@app.task
def name_types(values: list[Any]) -> list[str]:
    """Return what the values are inside the worker."""
    return [type(value).__name__ for value in values]


@app.task
def collect(values: list[Any], key: str = "") -> list[Any]:
    """Return the values of a group and leave a line."""
    if key:
        leave(key)
    return values


@app.task
def total(values: list[int]) -> int:
    """Return the sum of a group's results."""
    return sum(values)


@app.task
def note(value: Any, key: str) -> Any:
    """Leave a line, return what was given."""
    leave(key, repr(value))
    return value


@app.task
def mark(key: str) -> str:
    """Leave a line."""
    leave(key)
    return key


@app.task
def mark_after(key: str, seconds: float) -> str:
    """Leave a line after a while."""
    time.sleep(seconds)
    leave(key)
    return key


@app.task
def mark_before(key: str, seconds: float) -> str:
    """Leave a line, then take a while: whoever dies meanwhile has left it already."""
    leave(key)
    time.sleep(seconds)
    return key


@app.task(bind=True)
def describe(self: Task) -> dict[str, Any]:
    """Return what the task knows of itself."""
    request = self.request
    return {
        "id": request.id,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "retries": request.retries,
        "queue": request.delivery_info["routing_key"],
        "args": list(request.args),
    }


class Remembering(Task):
    """A task class of the users' own."""

    abstract = True

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Leave a line for a success."""
        leave(f"on_success:{task_id}", repr(retval))

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Leave a line for a failure."""
        leave(f"on_failure:{task_id}", repr(exc))


@app.task(base=Remembering)
def remembered(x: int) -> float:
    """Divide by the value."""
    return 10 / x


# Failures


@app.task
def boom(*_given: Any) -> None:
    """Fail with a built-in exception."""
    raise ValueError("no good", 7)


@app.task
def trouble(text: str) -> None:
    """Fail with an exception of our own."""
    raise TroubleError(text)


@app.task
def unserialisable() -> object:
    """Return what no JSON can carry."""
    return object()


@app.task
def old_errback(task_id: str) -> None:
    """Be told of a failure in the old way: by the id alone, as a task."""
    leave(f"old_errback:{task_id}")


@app.task
def new_errback(request: Any, exc: Exception, traceback: Any) -> None:
    """Be told of a failure in the new way: by request, exception and traceback, inline."""
    leave(f"new_errback:{request.id}", repr(exc))


@app.task
def keyed_errback(request: Any, exc: Exception, traceback: Any, key: str) -> None:
    """Be told of a failure and leave a line under a key that the test knows."""
    leave(key, repr(exc))


@app.task
def ignored(key: str) -> None:
    """End without any result."""
    leave(key)
    raise Ignore


@app.task(acks_late=True)
def rejected(key: str) -> None:
    """Refuse the task for good."""
    leave(key)
    raise Reject("not for us", requeue=False)


@app.task(acks_late=True)
def rejected_once(key: str) -> str:
    """Give the task back once, then run it."""
    if leave(key) == 1:
        raise Reject("later", requeue=True)
    return "second"


@app.task
def die(key: str) -> None:
    """End the process that runs this."""
    leave(key)
    os._exit(7)


@app.task
def die_once(key: str) -> str:
    """End the process at the first try, return at the second."""
    if leave(key) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@app.task
def leave_python(key: str) -> None:
    """Ask Python to end."""
    leave(key)
    sys.exit(3)


# Retries


@app.task(bind=True)
def retry_until(self: Task, key: str, tries: int, countdown: float = 0) -> str:
    """Ask to be run again until the given number of tries is reached."""
    if leave(key) < tries:
        raise self.retry(countdown=countdown, max_retries=5)
    return f"done after {self.request.retries} retries"


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def retry_too_often(self: Task, key: str, with_exception: bool) -> None:  # noqa: FBT001 - JSON
    """Ask to be run again more often than the task may."""
    leave(key)
    if with_exception:
        raise self.retry(exc=TroubleError("at last"))
    raise self.retry()


@app.task(autoretry_for=(TroubleError,), retry_kwargs={"max_retries": 3, "countdown": 0})
def flaky(key: str, failures: int) -> str:
    """Fail some times, and be retried without asking."""
    if leave(key) <= failures:
        raise TroubleError(key)
    return "well"


@app.task(bind=True)
def retry_quietly(self: Task, key: str) -> str:
    """Ask to be run again and return all the same."""
    leave(key)
    if not self.request.retries:
        self.retry(countdown=0, throw=False)
        return "early"
    return "final"


@app.task(bind=True)
def retry_with_more(self: Task, x: int) -> int:
    """Ask to be run again with other arguments."""
    if not self.request.retries:
        raise self.retry(args=(x + 40,), countdown=0)
    return x


# Replacing


@app.task(bind=True)
def replace_by_task(self: Task, x: int) -> Any:
    """Let one other task take this one's place."""
    return self.replace(add.s(x, 1))


@app.task(bind=True)
def replace_by_chain(self: Task, x: int) -> Any:
    """Let a chain take this one's place."""
    return self.replace(chain(add.s(x, 1), add.s(1)))


@app.task(bind=True)
def replace_by_group(self: Task, x: int) -> Any:
    """Let a group take this one's place."""
    return self.replace(group(add.s(x, 1), add.s(x, 2)))


@app.task(bind=True)
def replace_by_waiting_chain(self: Task, gate: str) -> Any:
    """Let a chain take this one's place that waits at a gate."""
    return self.replace(chain(wait_for.si(gate), echo.s()))


@app.task(bind=True)
def replace_by_waiting_group(self: Task, gate: str) -> Any:
    """Let a group take this one's place of which one part waits at a gate."""
    return self.replace(group(wait_for.si(gate), add.s(1, 1)))


@app.task(bind=True)
def replace_by_failing_chain(self: Task) -> Any:
    """Let a chain take this one's place that fails."""
    return self.replace(chain(add.s(1, 1), boom.s()))


# Bodies that submit


@app.task
def submit_other(x: int) -> str:
    """Submit another task and return its id without waiting for it."""
    other: AsyncResult = add.delay(x, 1)
    return str(other.id)


@app.task
def submit_and_fail(key: str) -> None:
    """Submit another task, then fail: the other one stays submitted."""
    mark.delay(key)
    raise TroubleError("after submitting")


@app.task
def join_other(x: int, queue: str) -> Any:
    """Submit another task and wait for it inside this one."""
    with allow_join_result():
        return add.apply_async((x, 1), queue=queue).get(timeout=20)


@app.task
def join_group(count: int, queue: str) -> Any:
    """Submit a group and wait for it inside this task."""
    parts = group(add.s(each, each).set(queue=queue) for each in range(count))
    return parts.apply_async().get(timeout=20, disable_sync_subtasks=False)


@app.task
def join_failing(queue: str) -> str:
    """Wait inside this task for another one that fails."""
    with allow_join_result():
        try:
            boom.apply_async(queue=queue).get(timeout=20)
        except ValueError as error:
            return repr(error)
    return "nothing was raised"


@app.task
def join_unasked() -> Any:
    """Wait inside this task for another one without saying that it is meant."""
    return add.delay(1, 1).get(timeout=5)


# Time


@app.task
def wait_for(gate: str, key: str = "") -> str:
    """Wait at a gate, then leave a line."""
    leave(f"{key or gate}:start")
    wait_at(gate)
    leave(key or gate)
    return gate


@app.task(bind=True)
def tell_progress(self: Task, gate: str) -> str:
    """Tell of half the work, then wait at a gate."""
    self.update_state(state="PROGRESS", meta={"done": 50, "of": 100})
    wait_at(gate)
    return "all"


@app.task
def linger(key: str, seconds: float) -> str:
    """Leave a line, sleep in small pieces, leave another."""
    leave(f"{key}:start")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
    leave(key)
    return key


# In one long sleep, which the limit ends; a thread hears of it when it has slept.
@app.task(soft_time_limit=0.5)
def clean_up_when_late(key: str) -> str:
    """Run past the soft limit and clean up."""
    try:
        time.sleep(4)
    except SoftTimeLimitExceeded:
        leave(key)
        return "cleaned up"
    return "never late"


@app.task(soft_time_limit=0.5)
def ignore_soft_limit(key: str) -> None:
    """Run past the soft limit and let its exception pass."""
    time.sleep(4)
    leave(key)


@app.task(time_limit=0.7)
def run_too_long(key: str) -> None:
    """Run past the hard limit, whatever is raised meanwhile."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            time.sleep(0.05)
        except Exception:
            continue
    leave(key)


@app.task(ignore_result=True)
def forget(key: str) -> str:
    """Return what nobody wants."""
    leave(key)
    return "unwanted"


# Files


@app.task(base=TypedTask)
def describe_file(file: File) -> dict[str, Any]:
    """Return what is known of a file, and what it holds."""
    with file.open() as opened:
        text = opened.read().decode()
    assert file.read() == file.path.read_bytes() == text.encode()
    return {"name": file.name, "size": file.size, "type": file.content_type, "text": text}


@app.task(base=TypedTask)
def make_file(name: str, text: str) -> File:
    """Return a file of one's own."""
    return File.from_bytes(name, text.encode())


@app.task(base=TypedTask)
def give_back(file: File) -> File:
    """Return the file that came."""
    return file


@app.task(base=TypedTask)
def join_files(files: list[File]) -> File:
    """Return one file of many."""
    return File.from_bytes("joined.txt", b"".join(each.read() for each in files))


@app.task(base=TypedTask)
def die_once_with(key: str, file: File) -> str:
    """End the process under the first attempt, read the file in the second."""
    if leave(key) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return file.read().decode()


@app.task(base=TypedTask, retries=1, retry_pause=timedelta(milliseconds=10))
def fail_once_with(key: str, file: File) -> str:
    """Fail the first attempt, read the file in the second."""
    if leave(key) == 1:
        raise TroubleError("the first attempt")
    return file.read().decode()


@app.task(base=TypedTask)
def send_on(file: File, text: str) -> list[str]:
    """Submit two tasks with files from within a task: the one that came, and one of one's own."""
    own = File.from_bytes("own.txt", text.encode())
    return [describe_file.delay(each).id for each in (file, own)]


@app.task(base=TypedTask)
async def copy_later(file: File) -> File:
    """Return a copy, on an event loop."""
    await asyncio.sleep(0.01)
    return File.from_bytes(file.name, file.read())
