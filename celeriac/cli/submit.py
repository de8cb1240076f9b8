"""`celeriac submit`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.arguments import parse_arguments
from celeriac.cli.completion import QUEUE_NAME, TASK_NAME
from celeriac.cli.durations import DURATION
from celeriac.cli.endings import end_with
from celeriac.cli.misuse import MisuseError
from celeriac.cli.queues import unserved_text
from celeriac.cli.remote import (
    client_of,
    hand_out,
    is_one_screen,
    json_option,
    quiet_option,
    say,
    service_options,
)
from celeriac.cli.render import file_hint, json_text, submitted_line
from celeriac.cli.watch import wait_for_end, watch_to_end
from celeriac.core.nearest import nearest
from celeriac.core.queue import Queue, command_to_serve
from celeriac.core.task import DEFAULT_QUEUE
from celeriac.errors import CeleriacError

if TYPE_CHECKING:
    from celeriac.client import Handle

# A worker that was started again for new code is there by then.
_WORKER_STARTS_SECONDS = 1.0
_FILE_FIX = "name a file that can be read; a text that begins with an @ is written NAME=@@TEXT"
_IS_FOLDER = "it is a folder"
_IS_MISSING = "there is no such file"


@click.command()
@click.argument("name", type=TASK_NAME)
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--watch", "is_watched", is_flag=True, help="Follow it, and print its result.")
@click.option("--wait", type=DURATION, help="Wait so long for its end, and print its result.")
@click.option("--queue", type=QUEUE_NAME, help="Where it waits; the task's own if not given.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, 9 first.")
@click.option("--delay", type=DURATION, help="How long it waits first, such as 90s, 5m or 2h.")
@click.option("--max-attempts", type=click.IntRange(1), help="Attempts in all.")
@click.option("--timeout", type=DURATION, help="The limit of one attempt.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; repeatable.")
@click.option("--unique-for", type=DURATION, help="So long an equal task stands for this one.")
@click.option("--idempotency-key", metavar="TEXT", help="The same TEXT makes no second task.")
@quiet_option("Print the id and nothing else.")
@json_option
@service_options
def submit(
    name: str,
    *,
    arguments: tuple[str, ...],
    is_watched: bool,
    wait: timedelta | None,
    queue: str | None,
    priority: int | None,
    delay: timedelta | None,
    max_attempts: int | None,
    timeout: timedelta | None,
    tags: tuple[str, ...],
    unique_for: timedelta | None,
    idempotency_key: str | None,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Submit a task; its values are read by the task's own schema.

    A list takes its KEY once for each value: KEY=1 KEY=2, or as JSON, "KEY=[1, 2]".

    KEY=@FILE takes the text of a file, KEY=@- standard input, KEY=@@TEXT a text with an @. Where
    the task takes a file, KEY=@FILE sends the file itself.
    """
    with client_of(options) as client:
        schema = client.task_type(name).schema if arguments else {}
        given = parse_arguments(arguments, schema, read_file=read_text, open_file=open_file)
        submitter = client.options(
            queue=queue,
            priority=priority,
            delay=delay,
            max_attempts=max_attempts,
            timeout=timeout,
            tags=tags,
            unique_for=unique_for,
        )
        handle = submitter.submit_arguments(name, given, idempotency_key=idempotency_key)
        if not is_quiet:
            say(*_warning(handle, queue, client.queues))
        if is_quiet and not as_json:
            hand_out(handle.id)
        if not is_watched and wait is None:
            if is_quiet and not as_json:
                return
            task = handle.accepted or handle.get()
            if not is_quiet:
                say(submitted_line(task))
            if as_json:
                hand_out(json_text(task.body))
            elif not is_one_screen():
                # On one screen the line above has it.
                hand_out(task.id)
            return
        if not is_quiet:
            say(f"{handle.id}  {name}")
        if is_watched:
            task = watch_to_end(handle)
        else:
            task = handle.wait(wait) if is_quiet else wait_for_end(handle, timeout=wait)
    if not is_quiet:
        say(*file_hint(task.id, task.result))
    end_with(task, url=client.url, is_quiet=is_quiet, as_json=as_json)


def _warning(
    handle: Handle, named: str | None, list_queues: Callable[[], Sequence[Queue]]
) -> tuple[str, ...]:
    if named is not None:
        return unserved_lines(named, list_queues, task_id=handle.id)
    # Nobody mistyped it. A program is spared the question.
    if handle.accepted is None or not sys.stderr.isatty():
        return ()
    return unserved_lines(
        handle.accepted.queue,
        list_queues,
        task_id=handle.id,
        pause=partial(time.sleep, _WORKER_STARTS_SECONDS),
    )


def unserved_lines(
    queue: str,
    list_queues: Callable[[], Sequence[Queue]],
    *,
    task_id: str,
    pause: Callable[[], None] | None = None,
) -> tuple[str, ...]:
    """Return a warning when no worker serves the queue of a task, and what helps.

    Args:
        queue: Its queue.
        list_queues: Asks the service for those there are.
        task_id: The task.
        pause: Called once before it is warned, for a worker that is starting; None does without.
    """
    try:
        queues = list_queues()
        if pause is not None and not _is_served(queue, queues):
            pause()
            queues = list_queues()
    except CeleriacError:
        # The task is accepted, and whoever submits need not be allowed to read.
        return ()
    if _is_served(queue, queues):
        return ()
    meant = nearest(queue, (each.name for each in queues if each.name != queue))
    other = meant[0] if meant else DEFAULT_QUEUE
    serve = f"  serve it  {command_to_serve(queue)}"
    undo = (
        f"  undo it   celeriac tasks cancel {shlex.quote(task_id)}; "
        f"then submit it with --queue {shlex.quote(other)}"
    )
    ways = (undo, serve) if meant else (serve, undo)
    warning = unserved_text(f"the queue {queue}", queue, queues)
    return (warning, *(way for way in ways if way is serve or other != queue))


def _is_served(queue: str, queues: Sequence[Queue]) -> bool:
    return any(each.name == queue and each.workers for each in queues)


def open_file(name: str) -> Any:
    """Return a file to be sent, or standard input for `-`.

    Raises:
        MisuseError: There is none.
    """
    if name == "-":
        return sys.stdin.buffer
    path = Path(name)
    if not path.is_file():
        why = _IS_FOLDER if path.is_dir() else _IS_MISSING
        raise MisuseError(f"{name} cannot be read: {why}", fix=_FILE_FIX)
    return path


def read_text(name: str) -> str:
    """Return the text of a file, or of standard input for `-`.

    Raises:
        MisuseError: It cannot be read, or is no text in UTF-8.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        known = {FileNotFoundError: _IS_MISSING, IsADirectoryError: _IS_FOLDER}
        why = known.get(type(error), error.strerror)
        raise MisuseError(f"{name} cannot be read: {why}", fix=_FILE_FIX) from error
    except ValueError as error:
        raise MisuseError(f"{name} is no text in UTF-8; {error}", fix=_FILE_FIX) from error
