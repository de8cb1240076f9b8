"""What the terminal and the shell get for a task's end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from celeriac.cli.remote import hand_out, say
from celeriac.cli.render import json_text, result_text, trail_lines, unhappy_lines
from celeriac.core.state import TaskState

if TYPE_CHECKING:
    from celeriac.client import RemoteTask

NOT_COMPLETED = 3


def exit_code_of(state: TaskState) -> int:
    """Return 0 for a task that completed, 3 for one that ended otherwise."""
    return 0 if state is TaskState.COMPLETED else NOT_COMPLETED


def end_with(task: RemoteTask, *, url: str, is_quiet: bool, as_json: bool) -> NoReturn:
    """Print the result of a task that has ended, and end the command with its exit code.

    One that did not complete has none: what helps then is told in its place.

    Args:
        task: The task.
        url: Where its service is.
        is_quiet: Whether nothing is told.
        as_json: Whether the whole task is printed in place of its result.
    """
    if task.state is not TaskState.COMPLETED and not is_quiet:
        lines = trail_lines(task.trail, folder=Path.cwd())
        say(*(f"  {line}" for line in lines), *unhappy_lines(task.id, url=url))
    if as_json:
        hand_out(json_text(task.body))
    elif task.state is TaskState.COMPLETED:
        hand_out(result_text(task.result))
    click.get_current_context().exit(exit_code_of(task.state))
