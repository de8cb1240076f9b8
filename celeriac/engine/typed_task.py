"""The Celery task that knows what it takes and gives back."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from celery import Task, _state
from celery.exceptions import SoftTimeLimitExceeded, TaskPredicate
from celery.result import AsyncResult

from celeriac.core.retry import backoff
from celeriac.core.task_ids import new_task_id
from celeriac.engine.contract import Contract
from celeriac.engine.strand import finish
from celeriac.engine.values import to_message
from celeriac.errors import InvalidArgumentsError
from celeriac.files.file import KeptFiles
from celeriac.files.keeping import keeping
from celeriac.files.store import FileStore

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_PAUSE = timedelta(minutes=10)

# The name of the app that Celery makes where there is none (celery 5.7, _state.py).
_MADE_UP = "default"


class Fail(Exception):  # noqa: N818 - it is no error of the program, and users raise it by this name
    """The task cannot succeed, and its author knows why: it ends failed, without another try."""


# Celery's own words (Retry, Ignore, Reject) and what trying again cannot mend.
NEVER_RETRIED = (TaskPredicate, SoftTimeLimitExceeded, InvalidArgumentsError, Fail)


EXPECTED = (Fail, InvalidArgumentsError)


class TypedTask(Task, Generic[P, R]):
    """A Celery task whose arguments are checked and converted by its function's hints.

    Called plainly it is the function itself. In a worker its arguments become what the hints say,
    and an ordinary exception is tried again as often as `retries` allows.
    """

    abstract = True
    # An accepted task runs at least once; see `at_most_once`.
    acks_late = True
    # Never run again once a worker has it.
    at_most_once = False
    # `priority` means the same with every broker: 9 first, as over HTTP.
    is_nine_first = True
    # How often it is tried again after an exception; None leaves it to `self.retry`.
    retries: int | None = None
    # The pause before the first of these; each further one is about twice as long.
    retry_pause = timedelta(seconds=1)
    # Told in one line, without a traceback: none of these is a fault of the function.
    throws = EXPECTED

    _contract: Contract | None = None

    if TYPE_CHECKING:
        # Not at run time: Celery's tracer would call it in place of `run`, inside a request that
        # it has pushed already.
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the function right here."""

    def __init_subclass__(cls, **facts: Any) -> None:
        super().__init_subclass__(**facts)
        # Here and not in the decorator, so that Celery's wrappers (autoretry, tracing) lie outside,
        # and a class that is written out by hand is checked as well.
        own = cls.__dict__.get("run")
        if own is not None:
            cls._function = own
            cls.run = _converting(own)

    @property
    def contract(self) -> Contract:
        """What the function takes and gives back."""
        # Built when first asked for: hints may name what stands further down in the module.
        if self._contract is None:
            self._contract = Contract.of(self._function, name=self.name)
        return self._contract

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Check the arguments and submit a task.

        Raises:
            InvalidArgumentsError: They do not fit; nothing was sent.
        """
        if (own := self._on_ledger()) is not self:
            return own.submit(*args, **kwargs)
        found, named = self.contract.files_of(args, kwargs)
        self.contract.bind(found, named, files=self._door())
        return self.apply_async(found, named)

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Submit a task as Celery does, with models and the like as plain JSON.

        A file, or a path where the function takes one, is kept for the worker first.
        """
        if (own := self._on_ledger()) is not self:
            return own.apply_async(args, kwargs, *rest, **options)
        if self.contract.file_fields:
            args, kwargs = self.contract.files_of(args or (), kwargs or {})
        # Celery would make one up that is all random. The first of the rest is a task id as well.
        if not rest and not options.get("task_id"):
            options["task_id"] = new_task_id()
        with keeping(self._store()):
            return super().apply_async(to_message(args), to_message(kwargs), *rest, **options)

    def dump_result(self, value: Any) -> Any:
        """Return what the function gave back in the form in which it is stored.

        Raises:
            TypeError: JSON cannot carry it.
        """
        with keeping(self._store()):
            return self.contract.dump_result(value)

    def _on_ledger(self) -> TypedTask[P, R]:
        """Return this task as it is to be sent.

        In a script that imports its tasks and nothing else Celery makes up an app that nobody asked
        for, with a broker that is not there. The app of the script's folder is meant.
        """
        if self.app is not _state.default_app or self.app.main != _MADE_UP:
            return self
        from celeriac.engine.app import create_celery

        own: TypedTask[P, R] = create_celery().tasks.get(self.name, self)
        return own

    def _store(self) -> FileStore | None:
        # An app that Celeriac is not installed on keeps no files.
        engine = getattr(self.app, "celeriac", None)
        return None if engine is None else engine.files

    def _door(self) -> KeptFiles | None:
        store = self._store()
        return None if store is None else KeptFiles(store)


def _converting(own: Any) -> Callable[..., Any]:
    """Return a `run` that converts in a worker and is the function itself anywhere else."""

    def run(self: TypedTask[..., Any], *args: Any, **kwargs: Any) -> Any:
        function = own.__get__(self, type(self))
        request = self.request
        # A task that calls itself plainly inherits the request of the worker's call: only the
        # first call of a request is the worker's.
        if request.called_directly or getattr(request, "is_entered", False):
            return function(*args, **kwargs)
        request.is_entered = True
        values, named = self.contract.bind(args, kwargs, files=self._door())
        try:
            result = function(*values, **named)
            return finish(result) if inspect.iscoroutine(result) else result
        except NEVER_RETRIED:
            raise
        except Exception as error:
            retries = _retries(self)
            if retries is None:
                raise
            pause = _pause(self)
            raise self.retry(exc=error, countdown=pause, max_retries=retries) from error

    function = own.__func__ if isinstance(own, staticmethod) else own
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = _signature(own)  # type: ignore[attr-defined] # functions take any attribute
    return run


def _signature(own: Any) -> inspect.Signature:
    # Celery asks `run` for it to resend a task with other arguments, and takes `self` off.
    if not isinstance(own, staticmethod):
        return inspect.signature(own)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return inspect.Signature([self, *inspect.signature(own.__func__).parameters.values()])


def _retries(task: TypedTask[..., Any]) -> int | None:
    # Who submitted it may have said how often it is tried; the function's own word comes second.
    attempts = getattr(task.request, "max_attempts", None)
    return task.retries if attempts is None else attempts - 1


def _pause(task: TypedTask[..., Any]) -> float:
    pause = backoff(task.request.retries + 1, first=task.retry_pause, longest=LONGEST_PAUSE)
    # Spread, so that tasks that failed together do not come back together.
    return pause.total_seconds() * random.uniform(0.5, 1.5)  # noqa: S311 - no secret hangs on it
