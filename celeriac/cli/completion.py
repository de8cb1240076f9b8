"""`celeriac completion …`, and what is filled in for task names, ids and queues."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from celeriac.cli.commands import COMPLETION_VARIABLE
from celeriac.cli.misuse import MisuseError
from celeriac.cli.remote import find_profile, hand_out, say
from celeriac.errors import CeleriacError

if TYPE_CHECKING:
    # A library of another room, imported when a key is pressed.
    from celeriac.client import Client

_SHELLS = ("bash", "zsh", "fish")
# Where each shell looks by itself; zsh only in the folders of its fpath.
_FILES = {
    "bash": ".local/share/bash-completion/completions/celeriac",
    "zsh": ".local/share/zsh/site-functions/_celeriac",
    "fish": ".config/fish/completions/celeriac.fish",
}
_RECENT = 20
# Whoever pressed a key looks at a shell that stands still.
_PATIENCE = timedelta(seconds=2)


class PathStep(click.ParamType[str]):
    """A name or an id; one that is asked for by a path of the service must be a step of it."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return what was typed."""
        text = str(value)
        is_step = isinstance(param, click.Argument)
        if is_step and (text in ("", ".", "..") or "/" in text):
            self.fail(f"{text!r} cannot be a {self.name}", param, ctx)
        return text


class TaskName(PathStep):
    """The name of a task that can be submitted."""

    name = "task name"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        try:
            with _client_of(ctx) as client:
                found = client.task_types()
        except CeleriacError:
            # Nobody who presses a key wants to read what is wrong.
            return []
        return [
            CompletionItem(each.name, help=each.title)
            for each in found
            if each.name.startswith(incomplete)
        ]


class TaskIdentifier(PathStep):
    """The id of a task."""

    name = "task's id"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the latest ids that begin so."""
        try:
            with _client_of(ctx) as client:
                found = client.list(limit=_RECENT).tasks
        except CeleriacError:
            return []
        return [
            CompletionItem(each.id, help=f"{each.name} {each.state.value}")
            for each in found
            if each.id.startswith(incomplete)
        ]


class QueueName(PathStep):
    """The name of a queue."""

    name = "queue"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        try:
            with _client_of(ctx) as client:
                found = client.queues()
        except CeleriacError:
            return []
        return [CompletionItem(each.name) for each in found if each.name.startswith(incomplete)]


TASK_NAME = TaskName()
TASK_ID = TaskIdentifier()
QUEUE_NAME = QueueName()

_shell = click.argument("shell", required=False, type=click.Choice(_SHELLS))


@click.command()
@_shell
def show_completion(shell: str | None) -> None:
    """Print the script for a shell; yours if none is named."""
    hand_out(script_for(shell or shell_of(os.environ.get("SHELL", ""))))


@click.command()
@_shell
def install_completion(shell: str | None) -> None:
    """Write the script where the shell looks for it; yours if none is named."""
    shell = shell or shell_of(os.environ.get("SHELL", ""))
    path = Path.home() / _FILES[shell]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script_for(shell) + "\n", encoding="utf-8")
    except OSError as error:
        raise MisuseError(
            f"{path} cannot be written: {error.strerror}",
            fix=f"celeriac completion show {shell} prints it, for a file of your choice",
        ) from None
    say(f"wrote {path}; a new shell fills in celeriac")
    if shell == "zsh":
        say(f"  if it does not, have in .zshrc before compinit: fpath+=({path.parent})")


def shell_of(path: str) -> str:
    """Return which shell a path such as /bin/zsh names.

    Raises:
        MisuseError: It is none of those we know.
    """
    name = Path(path).stem
    if name not in _SHELLS:
        raise MisuseError(
            f"{name or 'no shell'} is none that we know", fix=f"name one: {', '.join(_SHELLS)}"
        )
    return name


def script_for(shell: str) -> str:
    """Return the script that has a shell ask us what to fill in."""
    made = get_completion_class(shell)
    if made is None:
        raise AssertionError(f"click knows {shell}")
    variables = {
        "complete_func": "_celeriac_completion",
        "complete_var": COMPLETION_VARIABLE,
        "prog_name": "celeriac",
    }
    return (made.source_template % variables).strip()


@contextmanager
def _client_of(ctx: click.Context) -> Iterator[Client]:
    """Open a client that does not wait long, nor for a service that only starts."""
    from celeriac.client import Client

    options = {name: ctx.params.get(name) for name in ("url", "key")}
    profile = find_profile(options, os.environ)
    with Client(profile.url, profile.key, timeout=_PATIENCE) as client:
        yield client
