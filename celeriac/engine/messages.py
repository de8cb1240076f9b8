"""Between Celery's messages and the ledger's rows: one row is one message, both ways.

A message of Celery's protocol 2 has headers, properties and a body of arguments and an embed (the
links, the chain, the chord). The row has columns for what the ledger decides by; the rest goes
into its `headers` and comes back unchanged when the task runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from celeriac.core.task import DEFAULT_PRIORITY, ClaimedTask, NewTask, TaskId
from celeriac.engine.codec import dump_arguments, dump_typed, load_typed
from celeriac.errors import InvalidOptionError

# What the row keeps in columns of its own, or makes anew for each run.
_IN_COLUMNS = frozenset(
    {
        "lang", "task", "id", "eta", "expires", "group", "group_index", "retries", "timelimit",
        "root_id", "parent_id", "argsrepr", "kwargsrepr", "ignore_result",
    }
)  # fmt: skip
_EMBED = ("callbacks", "errbacks", "chain", "chord")


def priority_of_message(priority: int | None, *, is_zero_first: bool) -> int:
    """Return the ledger's priority (9 first) for the one a caller gave to Celery.

    Celery leaves the meaning to the broker: 0 is first on Redis, 9 is first on AMQP.
    """
    if priority is None:
        return DEFAULT_PRIORITY
    bounded = min(max(int(priority), 0), 9)
    return 9 - bounded if is_zero_first else bounded


def priority_for_message(priority: int, *, is_zero_first: bool) -> int:
    """Return the broker's priority for the ledger's."""
    return 9 - priority if is_zero_first else priority


def _moment(value: Any) -> datetime | None:
    if not value:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def task_of_message(
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    body: tuple[Any, Any, Mapping[str, Any]],
    *,
    queue: str,
    is_zero_first: bool,
    at_most_once: bool,
) -> NewTask:
    """Return the row for a message that Celery is about to send.

    Raises:
        TypeError: An argument cannot be carried by JSON.
        InvalidOptionError: The id, the name or the queue is no text that can be stored.
    """
    args, kwargs, embed = body
    for option, text in (("task_id", headers["id"]), ("name", headers["task"]), ("queue", queue)):
        _refuse_unsound(option, text)
    kept = {k: v for k, v in headers.items() if k not in _IN_COLUMNS and v is not None}
    kept.update((k, embed[k]) for k in _EMBED if embed.get(k))
    if properties.get("reply_to"):
        kept["reply_to"] = properties["reply_to"]
    hard, soft = headers.get("timelimit") or (None, None)
    group = headers.get("group")
    return NewTask(
        id=TaskId(headers["id"]),
        name=headers["task"],
        arguments=dump_arguments(args, kwargs),
        queue=queue,
        priority=priority_of_message(properties.get("priority"), is_zero_first=is_zero_first),
        headers=dump_typed(kept),
        not_before=_moment(headers.get("eta")),
        expires_at=_moment(headers.get("expires")),
        timeout_seconds=hard,
        soft_timeout_seconds=soft,
        retries=headers.get("retries") or 0,
        at_most_once=at_most_once,
        ignore_result=bool(headers.get("ignore_result")),
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        group_id=group,
        group_index=headers.get("group_index"),
        # A part of a chord's header carries the body; its group is the chord's.
        chord_id=group if embed.get("chord") else None,
    )


def read_old_message(
    body: Mapping[str, Any],
) -> tuple[dict[str, Any], tuple[Any, Any, dict[str, Any]]]:
    """Return the headers and the body of a message of protocol 1 as protocol 2 would have them.

    Raises:
        KeyError: It is none.
    """
    headers = {
        "lang": "py",
        "task": body["task"],
        "id": body["id"],
        "retries": body.get("retries"),
        "timelimit": body.get("timelimit"),
        "group": body.get("taskset"),
        "group_index": body.get("group_index"),
    }
    for name in ("eta", "expires"):
        moment = body.get(name)
        if moment and body.get("utc") is False:
            # By its producer's clock on the wall, which is taken for ours.
            moment = datetime.fromisoformat(moment).astimezone()
        headers[name] = _moment(moment)
    embed = {name: body.get(name) for name in ("callbacks", "errbacks", "chord")}
    return headers, (body.get("args") or (), body.get("kwargs") or {}, embed)


def _refuse_unsound(option: str, text: str) -> None:
    # No database's text holds a NUL or a lone surrogate, and a caller is told so before a child
    # or a batch trips over it.
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidOptionError(option, "holds a NUL or half a character")


def request_of(
    claimed: ClaimedTask,
    args: list[Any],
    kwargs: dict[str, Any],
    *,
    hostname: str,
    is_zero_first: bool,
) -> dict[str, Any]:
    """Return the request that Celery's tracer runs a claimed task with."""
    # Most tasks have none, and to read nothing takes its time, too.
    kept = {} if claimed.headers == "{}" else load_typed(claimed.headers)
    priority = priority_for_message(claimed.priority, is_zero_first=is_zero_first)
    request: dict[str, Any] = {
        "lang": "py",
        "task": claimed.name,
        "id": claimed.id,
        "eta": None,
        "expires": claimed.expires_at.isoformat() if claimed.expires_at else None,
        "group": claimed.group_id,
        "group_index": claimed.group_index,
        "retries": claimed.retries,
        "attempt": claimed.attempt,
        "max_attempts": claimed.max_attempts,
        "timelimit": [claimed.timeout_seconds, claimed.soft_timeout_seconds],
        "root_id": claimed.root_id or claimed.id,
        "parent_id": claimed.parent_id,
        "ignore_result": claimed.ignore_result,
        "properties": {"priority": priority},
        "reply_to": None,
        "correlation_id": claimed.id,
        "hostname": hostname,
        "delivery_info": {
            "exchange": "",
            "routing_key": claimed.queue,
            "priority": priority,
            "redelivered": False,
        },
        "args": args,
        "kwargs": kwargs,
        "is_eager": False,
        "callbacks": None,
        "errbacks": None,
        "chain": None,
        "chord": None,
    }
    request.update(kept)
    # Without this key Celery's Context looks every custom header up again for each run.
    request["headers"] = {k: v for k, v in kept.items() if k not in _EMBED and k != "reply_to"}
    return request


def placeholders(step: Mapping[str, Any], *, upstream_id: str, queue: str) -> tuple[NewTask, ...]:
    """Return `waiting` rows for every id under a step of a canvas whose turn has not come.

    Celery has fixed these ids, and whoever holds the canvas's result may ask for any of them.

    Returns:
        The rows, the one that the step's own result stands under last.
    """
    kind = step.get("subtask_type")
    kwargs = step.get("kwargs") or {}
    if kind == "chord" and kwargs.get("body"):
        header = _members(kwargs.get("header"))
        # The body waits for what the header waits for, until the chord itself is sent.
        return _side_by_side([*header, kwargs["body"]], upstream_id=upstream_id, queue=queue)
    if kind == "group":
        return _side_by_side(_members(step), upstream_id=upstream_id, queue=queue)
    if kind == "chain":
        return _one_by_one(kwargs.get("tasks") or (), upstream_id=upstream_id, queue=queue)
    task_id = (step.get("options") or {}).get("task_id")
    if not task_id:
        return ()
    return (_placeholder(TaskId(task_id), step, upstream_id=upstream_id, queue=queue),)


def _members(group: Any) -> Sequence[Mapping[str, Any]]:
    """Return the members of a group, which Celery hands about as a signature or as a list."""
    if isinstance(group, Mapping):
        return list((group.get("kwargs") or {}).get("tasks") or ())
    return list(group or ())


def _side_by_side(
    steps: Iterable[Mapping[str, Any]], *, upstream_id: str, queue: str
) -> tuple[NewTask, ...]:
    rows: list[NewTask] = []
    for step in steps:
        rows.extend(placeholders(step, upstream_id=upstream_id, queue=queue))
    return tuple(rows)


def _one_by_one(
    steps: Iterable[Mapping[str, Any]], *, upstream_id: str, queue: str
) -> tuple[NewTask, ...]:
    rows: list[NewTask] = []
    for step in steps:
        rows.extend(placeholders(step, upstream_id=upstream_id, queue=queue))
        if rows:
            upstream_id = str(rows[-1].id)
    return tuple(rows)


def _placeholder(
    task_id: TaskId, step: Mapping[str, Any], *, upstream_id: str, queue: str
) -> NewTask:
    options = step.get("options") or {}
    step_queue = options.get("queue")
    group = options.get("group_id")
    return NewTask(
        id=task_id,
        name=step.get("task") or "",
        # What it is called with is known when its turn comes; until then, what it was made with.
        arguments=dump_arguments(step.get("args") or (), step.get("kwargs") or {}),
        queue=step_queue if isinstance(step_queue, str) else queue,
        is_waiting=True,
        upstream_id=upstream_id,
        root_id=options.get("root_id"),
        group_id=group,
        group_index=options.get("group_index"),
        # Failing upstream, it counts as an ended part of its chord.
        chord_id=group if options.get("chord") else None,
    )


def chain_placeholders(task: NewTask) -> tuple[NewTask, ...]:
    """Return `waiting` rows for every later step of the chain that a task begins.

    Celery's chain is a stack: the last element is the next step.
    """
    steps = reversed(load_typed(task.headers).get("chain") or [])
    return _one_by_one(steps, upstream_id=str(task.id), queue=task.queue)
