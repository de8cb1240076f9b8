"""`celeriac queues …`: how the queues of a service stand, and pausing one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from celeriac.cli.completion import QUEUE_NAME
from celeriac.cli.remote import (
    client_of,
    hand_out,
    json_option,
    quiet_option,
    say,
    service_options,
)
from celeriac.cli.render import age_text, json_text, seconds_text
from celeriac.cli.tables import table_lines
from celeriac.core.nearest import did_you_mean, nearest
from celeriac.core.queue import Queue


@click.command()
@quiet_option("Print names and nothing else.")
@json_option
@service_options
def list_queues(*, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """List every queue with what waits in it.

    In a pipe the columns have tabs between them, and OLDEST is in seconds: 90s.
    """
    with client_of(options) as client:
        found = client.queues()
    if as_json:
        hand_out(json_text([_facts(each) for each in found]))
        return
    if is_quiet:
        hand_out(*(each.name for each in found))
        return
    is_for_people = sys.stdout.isatty()
    heads = ("QUEUE", "QUEUED", "OLDEST", "RUNNING", "WORKERS", "PAUSED")
    rows = [_row(each, now=datetime.now(UTC), is_for_people=is_for_people) for each in found]
    hand_out(*table_lines(heads, rows, is_aligned=is_for_people))


@click.command()
@click.argument("queue", type=QUEUE_NAME)
@click.option("--reason", default="", help="What everybody reads who wonders why nothing runs.")
@quiet_option("Print its name and nothing else.")
@json_option
@service_options
def pause_queue(
    queue: str, *, reason: str, is_quiet: bool, as_json: bool, **options: str | None
) -> None:
    """Have nothing more of a queue begun until it is resumed; what runs goes on."""
    with client_of(options) as client:
        found = client.pause_queue(queue, reason)
        # It may be paused before it is used; or it is another one that was meant.
        others = [] if _is_used(found) else client.queues()
    _tell(found, paused_line(found, others), is_quiet=is_quiet, as_json=as_json)


@click.command()
@click.argument("queue", type=QUEUE_NAME)
@quiet_option("Print its name and nothing else.")
@json_option
@service_options
def resume_queue(queue: str, *, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """Have tasks of a queue begun again."""
    with client_of(options) as client:
        found = client.resume_queue(queue)
    serve = "1 worker serves" if found.workers == 1 else f"{found.workers} workers serve"
    told = f"resumed {found.name}: {found.queued} wait, {serve} it"
    _tell(found, told, is_quiet=is_quiet, as_json=as_json)


def paused_line(queue: Queue, others: Sequence[Queue]) -> str:
    """Return what is said of a queue that was paused, and which was meant if nobody uses it."""
    told = f"paused {queue.name}: {queue.queued} wait, {queue.running} still run"
    return told if _is_used(queue) else f"{told}; {unserved_text('it', queue.name, others)}"


def unserved_text(called: str, name: str, queues: Sequence[Queue]) -> str:
    """Return what is said of a queue that no worker serves, and which was meant.

    Args:
        called: What it is called in the sentence.
        name: Its name.
        queues: Those that there are, itself or not.
    """
    others = (each.name for each in queues if each.name != name)
    question = did_you_mean(nearest(name, others))
    return "; ".join(filter(None, (f"no worker serves {called}", question)))


def _is_used(queue: Queue) -> bool:
    return bool(queue.queued or queue.running or queue.workers)


def _tell(queue: Queue, told: str, *, is_quiet: bool, as_json: bool) -> None:
    if as_json:
        hand_out(json_text(_facts(queue)))
    elif is_quiet:
        hand_out(queue.name)
    else:
        say(told)


def _row(queue: Queue, *, now: datetime, is_for_people: bool) -> tuple[str, ...]:
    oldest = queue.oldest_queued_at
    pause = queue.pause
    why = "" if pause is None else f"by {pause.by or 'the service'}: {pause.reason or 'no reason'}"
    if oldest is None:
        since = ""
    else:
        age = now - oldest
        since = age_text(age) if is_for_people else seconds_text(age)
    return (queue.name, str(queue.queued), since, str(queue.running), str(queue.workers), why)


def _facts(queue: Queue) -> dict[str, object]:
    pause = queue.pause
    return {
        **asdict(queue),
        "oldest_queued_at": queue.oldest_queued_at and queue.oldest_queued_at.isoformat(),
        "pause": pause and {**asdict(pause), "since": pause.since.isoformat()},
    }
