"""How a task function is written: `@task`, and what it may say while it runs.

Nothing here needs an app: a decorated function is known to every app of the process, and a plain
call of it runs right here, without a broker.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Concatenate, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from celery import current_task, shared_task

from celeriac.core.task import TaskId
from celeriac.engine.progress import progress as progress
from celeriac.engine.typed_task import EXPECTED, TypedTask
from celeriac.engine.typed_task import Fail as Fail

P = ParamSpec("P")
R = TypeVar("R")


class TaskOptions(TypedDict, total=False):
    """What `@task` may be given; at run time every attribute of a Celery task is taken as well."""

    # Under which it is registered; `module.function` otherwise.
    name: str
    # Where its tasks go when the submitter names no queue.
    queue: str
    # 0 to 9, 9 first.
    priority: int
    # How often it is tried again after an exception; without it only `self.retry` does that.
    retries: int
    # The pause before the first of these; each further one is about twice as long.
    retry_pause: timedelta
    # The attempt is killed after this long, on pools that can kill.
    timeout: timedelta
    # SoftTimeLimitExceeded is raised in the function after this long.
    soft_timeout: timedelta
    # Never run again once a worker has it, whatever becomes of that worker.
    at_most_once: bool
    # From here on Celery's own, by Celery's names.
    acks_late: bool
    autoretry_for: Iterable[type[Exception]]
    base: type[Any]
    default_retry_delay: float
    dont_autoretry_for: Iterable[type[Exception]]
    ignore_result: bool
    max_retries: int | None
    rate_limit: str
    retry_backoff: bool | float
    retry_backoff_max: float
    retry_jitter: bool
    retry_kwargs: dict[str, Any]
    throws: Iterable[type[Exception]]
    track_started: bool


@overload
def task(function: Callable[P, R], /) -> TypedTask[P, R]: ...
@overload
def task(
    *, bind: Literal[True], **options: Unpack[TaskOptions]
) -> Callable[[Callable[Concatenate[Any, P], R]], TypedTask[P, R]]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], TypedTask[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task that can be submitted, with its hints as the contract.

    Raises:
        TypeError: An option is unknown or has another type.
    """
    if function is not None:
        return _register(function, {})
    return lambda decorated: _register(decorated, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The task that is running here."""

    # Empty when the function was called plainly: there is no task then.
    id: TaskId
    name: str
    # Counted from 1.
    attempt: int


def current() -> Current:
    """Return the task that is running here; outside a worker a first attempt without an id."""
    request = current_task.request if current_task else None
    if request is None or request.called_directly:
        return Current(id=TaskId(""), name="", attempt=1)
    # The worker counts attempts that died as well; Celery only those that asked for another.
    attempt = getattr(request, "attempt", None) or request.retries + 1
    return Current(id=TaskId(request.id), name=current_task.name, attempt=attempt)


def _register(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    _refuse_field_defaults(function)
    celery_options = {"base": TypedTask, **_to_celery(function, options)}
    if not issubclass(celery_options["base"], TypedTask):
        raise TypeError(f"@task: the base of {function.__qualname__} must be a TypedTask")
    return shared_task(**celery_options)(function)


def _to_celery(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    own = dict(options)
    base = own.get("base", TypedTask)
    unknown = sorted(name for name in own if name not in _OPTIONS and not hasattr(base, name))
    if unknown:
        listed = ", ".join(unknown)
        raise TypeError(f"@task: {function.__qualname__} has an unknown option: {listed}")
    retries = own.get("retries")
    if retries is not None:
        if not isinstance(retries, int) or retries < 0:
            raise TypeError(f"@task: retries of {function.__qualname__} is not 0 or more")
        own["max_retries"] = retries
    for option, limit in (("timeout", "time_limit"), ("soft_timeout", "soft_time_limit")):
        if option in own:
            own[limit] = own.pop(option).total_seconds()
    if "at_most_once" in own:
        # Celery's own word for the same promise: acknowledged before it runs.
        own["acks_late"] = not own["at_most_once"]
    if "throws" in own:
        own["throws"] = (*EXPECTED, *own["throws"])
    # Celery 5.7 warns of these on the task's own class, and still goes by them on a base.
    routing: dict[str, Any] = {
        option: own.pop(option) for option in ("queue", "priority") if option in own
    }
    if routing and issubclass(base, TypedTask):
        own["base"] = type(base.__name__, (base,), routing)
    return own


_OPTIONS = frozenset(TaskOptions.__annotations__) | {"bind"}


def _refuse_field_defaults(function: Callable[..., Any]) -> None:
    # FastAPI's older way. A plain call would get the Field itself as its argument.
    for each in inspect.signature(function).parameters.values():
        if type(each.default).__name__ == "FieldInfo":
            raise TypeError(
                f"@task: write {each.name} of {function.__qualname__} as "
                f"{each.name}: Annotated[TYPE, Field(...)] = DEFAULT"
            )
