"""`celeriac get`, `celeriac wait` and `celeriac tasks …`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.arguments import parse_arguments
from celeriac.cli.completion import QUEUE_NAME, TASK_ID, TASK_NAME
from celeriac.cli.durations import DURATION
from celeriac.cli.endings import end_with
from celeriac.cli.misuse import MisuseError
from celeriac.cli.remote import (
    client_of,
    hand_out,
    json_option,
    keep_quiet,
    quiet_option,
    say,
    service_options,
)
from celeriac.cli.render import (
    file_hint,
    json_text,
    result_text,
    state_text,
    submitted_line,
    task_lines,
    task_table,
)
from celeriac.cli.submit import read_text
from celeriac.cli.watch import watch_to_end
from celeriac.core.nearest import did_you_mean, nearest
from celeriac.core.state import TaskState

if TYPE_CHECKING:
    from celeriac.client import Client

_MOST_ON_A_PAGE = 200


@click.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@click.option("--output", metavar="FILE", help="Write the result there: the file, or the JSON.")
@quiet_option("Print the result and nothing else.")
@json_option
@service_options
def get_task(
    task_id: str, *, output: str | None, is_quiet: bool, as_json: bool, **options: str | None
) -> None:
    """Show how a task stands; its result, once there is one, goes to standard output.

    With --output the bare result goes into a file, or with - to standard output.
    """
    tell = keep_quiet if is_quiet else say
    with client_of(options) as client:
        if output is not None:
            write_result(client, task_id, output, say=tell)
            return
        task = client.get(task_id)
    if as_json:
        hand_out(json_text(task.body))
        return
    tell(*task_lines(task, now=datetime.now(UTC), folder=Path.cwd()))
    if task.state is TaskState.COMPLETED:
        tell(*file_hint(task.id, task.result))
        hand_out(result_text(task.result))


def write_result(
    client: Client, task_id: str, output: str, *, say: Callable[[str], None] = say
) -> None:
    """Write a task's bare result to a file, or to standard output for `-`, and say so.

    Raises:
        MisuseError: It cannot be written there.
    """
    if output == "-":
        client.download(task_id, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    if Path(output).is_dir():
        raise MisuseError(f"{output} is a folder", fix="name a file in it")
    try:
        client.download(task_id, output)
    except OSError as error:
        raise MisuseError(
            f"{output} cannot be written: {error.strerror}",
            fix="name a file that you may write, or - for standard output",
        ) from error
    say(f"wrote {output}, {Path(output).stat().st_size:,} bytes")


@click.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@click.option("--timeout", type=DURATION, help="How long to wait, such as 90s or 5m.")
@quiet_option("Say nothing while waiting; print the result alone.")
@json_option
@service_options
def wait_for_task(
    task_id: str,
    *,
    timeout: timedelta | None,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Wait until a task has ended, and print its result.

    Ends with 0 when it completed, 3 when it did not, 124 when the time was over.
    """
    with client_of(options) as client:
        handle = client.handle(task_id)
        task = handle.wait(timeout) if is_quiet else watch_to_end(handle, timeout=timeout)
    end_with(task, url=client.url, is_quiet=is_quiet, as_json=as_json)


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in TaskState]),
    help="Only tasks in this state; repeatable.",
)
@click.option("--name", type=TASK_NAME, help="Only tasks of this task name.")
@click.option("--queue", type=QUEUE_NAME, help="Only tasks of this queue.")
@click.option("--tag", help="Only tasks with this tag.")
@click.option("--since", type=DURATION, help="Only tasks created so long ago at most: 90s, 1h, 7d.")
@click.option("--limit", type=click.IntRange(1, _MOST_ON_A_PAGE), default=20, show_default=True)
@click.option("--page-token", default="", help="Where the page before ended.")
@quiet_option("Print ids and nothing else.")
@json_option
@service_options
def list_tasks(
    *,
    states: tuple[str, ...],
    name: str | None,
    queue: str | None,
    tag: str | None,
    since: timedelta | None,
    limit: int,
    page_token: str,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """List tasks, newest first.

    In a pipe the columns have tabs between them, and AGE is in seconds: 278s; --json has the
    times themselves.
    """
    now = datetime.now(UTC)
    with client_of(options) as client:
        page = client.list(
            states=tuple(TaskState(each) for each in states),
            name=name,
            queue=queue,
            tag=tag,
            since=None if since is None else now - since,
            limit=limit,
            page_token=page_token,
        )
        question = question_about(client, name) if name and not page.tasks else ""
    if as_json:
        bodies = [task.body for task in page.tasks]
        hand_out(json_text({"tasks": bodies, "next_page_token": page.next_page_token}))
        return
    if is_quiet:
        hand_out(*(task.id for task in page.tasks))
        return
    hand_out(*task_table(page.tasks, now=now, is_for_people=sys.stdout.isatty()))
    if question:
        say(f"there is no task name {name}; {question}")
    if page.next_page_token:
        say(f"more: --page-token {page.next_page_token}")


def question_about(client: Client, name: str) -> str:
    """Return which task names may have been meant by one; empty when it is one."""
    names = [each.name for each in client.task_types()]
    return "" if name in names else did_you_mean(nearest(name, names))


def refuse_file(name: str) -> Any:
    """Refuse a file: a task that is run again keeps those it had.

    Raises:
        MisuseError: Always.
    """
    raise MisuseError(
        "a task that is run again keeps its files", fix=f"submit it anew, with @{name}"
    )


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True, type=TASK_ID)
@quiet_option("Print the ids and nothing else.")
@json_option
@service_options
def cancel_tasks(
    task_ids: tuple[str, ...], *, is_quiet: bool, as_json: bool, **options: str | None
) -> None:
    """Cancel tasks; those that run are asked to stop."""
    cancelled = []
    with client_of(options) as client:
        for task_id in task_ids:
            task = client.cancel(task_id)
            cancelled.append(task)
            is_asked = task.state is TaskState.RUNNING
            if not is_quiet:
                say(f"{task_id}  {'asked to stop' if is_asked else state_text(task)}")
            elif not as_json:
                # At once: the next one may be refused, and this one is cancelled all the same.
                hand_out(task.id)
    if as_json:
        hand_out(json_text([task.body for task in cancelled]))


@click.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--watch", "is_watched", is_flag=True, help="Follow it, and print its result.")
@quiet_option("Print the id of the new task and nothing else.")
@json_option
@service_options
def retry_task(
    task_id: str,
    *,
    changes: tuple[str, ...],
    is_watched: bool,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Run a task that has ended again, as a new task, with arguments changed or as they were."""
    with client_of(options) as client:
        schema = client.task_type(client.get(task_id).name).schema if changes else {}
        handle = client.retry(
            task_id,
            **parse_arguments(changes, schema, read_file=read_text, open_file=refuse_file),
        )
        task = handle.accepted or handle.get()
        if not is_quiet:
            say(submitted_line(task))
        elif not as_json:
            hand_out(task.id)
        if is_watched:
            task = watch_to_end(handle)
        elif is_quiet and not as_json:
            return
    if is_watched:
        end_with(task, url=client.url, is_quiet=is_quiet, as_json=as_json)
    hand_out(json_text(task.body) if as_json else task.id)
