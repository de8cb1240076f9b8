"""What may stand in a query string: each parameter with its bounds, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import QueryParams
from starlette.requests import Request

from celeriac.core.page import MAX_PAGE_SIZE, TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import DEFAULT_PRIORITY
from celeriac.errors import InvalidOptionError
from celeriac.queue_names import QUEUE_PATTERN
from celeriac.service.submission import (
    MOST_AHEAD,
    MOST_ATTEMPTS,
    MOST_PRIORITY,
    MOST_TAG_CHARACTERS,
    MOST_TAGS,
    MOST_TIMEOUT,
    MOST_UNIQUE,
    SubmitOptions,
)

Query = TypeVar("Query", bound=BaseModel)

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")

_MOMENT = TypeAdapter(datetime)


def _moment(value: Any) -> Any:
    # Otherwise a bare number would count as seconds since 1970, or milliseconds.
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be a moment with its zone, such as 2030-01-31T12:00:00Z")
    try:
        # Here already: what has passed through a validator of ours is a text of Python's, and in
        # the strict reading of a batch no text of Python's is a moment.
        return _MOMENT.validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of bounds") from None


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold the character NUL")
    return value


Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_to_utc)]
Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_without_nul)]
Queue = Annotated[str, Field(pattern=QUEUE_PATTERN)]
Priority = Annotated[int, Field(ge=0, le=MOST_PRIORITY)]
Delay = Annotated[float, Field(ge=0, le=MOST_AHEAD.total_seconds(), allow_inf_nan=False)]
Timeout = Annotated[float, Field(gt=0, le=MOST_TIMEOUT.total_seconds(), allow_inf_nan=False)]
Unique = Annotated[float, Field(gt=0, le=MOST_UNIQUE.total_seconds(), allow_inf_nan=False)]
Attempts = Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]
Tag = Annotated[str, Field(min_length=1, max_length=MOST_TAG_CHARACTERS)]
# A query string cannot say null, so the schema does not offer it.
Absent = SkipJsonSchema[None]


class _Options(BaseModel):
    """How a task shall be run, wherever that is said."""

    model_config = ConfigDict(extra="forbid")

    queue: Annotated[
        Queue | Absent, Field(description="Where it waits; the task's own if not given.")
    ] = None
    priority: Annotated[Priority, Field(description="0 to 9, 9 first.")] = DEFAULT_PRIORITY
    delay_seconds: Annotated[
        Delay | Absent, Field(description="How long it waits before it is queued.")
    ] = None
    not_before: Annotated[
        Moment | Absent,
        Field(description="The moment before which it is not queued; in place of a delay."),
    ] = None
    expires_at: Annotated[
        Moment | Absent, Field(description="The moment after which it is not begun.")
    ] = None
    max_attempts: Annotated[
        Attempts | Absent, Field(description="Attempts in all; the task's own if not given.")
    ] = None
    timeout_seconds: Annotated[
        Timeout | Absent,
        Field(description="The limit of one attempt; the task's own if not given."),
    ] = None
    unique_for_seconds: Annotated[
        Unique | Absent,
        Field(
            description="For so long an equal task of yours, with the same name, arguments and"
            " queue, stands for this one and is answered in its place."
        ),
    ] = None

    def _to_options(self, tags: Sequence[str]) -> SubmitOptions:
        return SubmitOptions(
            queue=self.queue,
            priority=self.priority,
            delay=_duration(self.delay_seconds),
            not_before=self.not_before,
            expires_at=self.expires_at,
            max_attempts=self.max_attempts,
            timeout=_duration(self.timeout_seconds),
            unique_for=_duration(self.unique_for_seconds),
            tags=tuple(tags),
        )


class SubmitQuery(_Options):
    """How a task shall be run, in a query string."""

    tag: Annotated[
        list[Tag], Field(max_length=MOST_TAGS, description="A word to find it by; repeatable.")
    ] = []

    def to_options(self) -> SubmitOptions:
        """Return the options in the service's words."""
        return self._to_options(self.tag)


class BatchOptions(_Options):
    """How a task of a batch shall be run."""

    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS, description="Words to find it by.")] = []

    def to_options(self) -> SubmitOptions:
        """Return the options in the service's words."""
        return self._to_options(self.tags)


class ListQuery(BaseModel):
    """Which tasks a list shall hold."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[
        list[TaskState],
        Field(max_length=len(TaskState), description="Only tasks in this state; repeatable."),
    ] = []
    name: Annotated[Text | Absent, Field(description="Only tasks of this task name.")] = None
    queue: Annotated[Text | Absent, Field(description="Only tasks of this queue.")] = None
    tag: Annotated[Text | Absent, Field(description="Only tasks with this tag.")] = None
    since: Annotated[
        Moment | Absent, Field(description="Only tasks created at or after this moment.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE, description="At most this many tasks.")] = (
        50
    )
    page_token: Annotated[
        str, Field(description="The next_page_token of the page before; empty is the first page.")
    ] = ""

    def to_filter(self) -> TaskFilter:
        """Return what is asked for in the ledger's words."""
        return TaskFilter(
            states=tuple(self.state),
            name=self.name,
            queue=self.queue,
            tag=self.tag,
            since=self.since,
        )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


class BatchQuery(BaseModel):
    """How a batch shall be taken."""

    model_config = ConfigDict(extra="forbid")

    atomic: Annotated[bool, Field(description="All of its tasks or none.")] = False


def read_atomic(given: QueryParams) -> bool:
    """Return whether a batch shall be all or nothing, as its query says.

    Raises:
        InvalidOptionError: A parameter is given twice.
        RequestValidationError: One is no yes or no, or there is none of its name.
    """
    refuse_repeated(given, repeatable=())
    return _validated(BatchQuery, dict(given)).atomic


@lru_cache(maxsize=1024)
def submit_options(query_string: str) -> SubmitOptions:
    """Return how a task shall be run, as a query string says it.

    Callers that submit much say the same again and again: it is read once.

    Raises:
        InvalidOptionError: A parameter is given twice.
        RequestValidationError: One is out of bounds, or there is none of its name.
    """
    if not query_string:
        return SubmitOptions()
    given = QueryParams(query_string)
    refuse_repeated(given, repeatable=("tag",))
    values: dict[str, Any] = dict(given)
    if "tag" in values:
        values["tag"] = given.getlist("tag")
    return _validated(SubmitQuery, values).to_options()


def _validated(model: type[Query], values: dict[str, Any]) -> Query:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("query", *each["loc"])} for each in error.errors()]
        ) from None


def once_except(*repeatable: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that refuses a parameter given twice, but for the repeatable ones."""

    async def refuse(request: Request) -> None:
        refuse_repeated(request.query_params, repeatable=repeatable)

    return refuse


def refuse_repeated(given: QueryParams, *, repeatable: Collection[str]) -> None:
    """Return if no parameter is given twice, but for the repeatable ones.

    Raises:
        InvalidOptionError: One is: which of the two was meant is not ours to guess.
    """
    seen: set[str] = set()
    for name, _ in given.multi_items():
        if name in seen and name not in repeatable:
            raise InvalidOptionError(name, "is given twice")
        seen.add(name)
