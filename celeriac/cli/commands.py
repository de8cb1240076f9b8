"""The commands by name; each lives in a module of its own that is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

import click

from celeriac import __version__


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports the one that is called."""

    def __init__(self, name: str, *, homes: Mapping[str, tuple[str, str]], help: str) -> None:  # noqa: A002 - click's own word
        super().__init__(name, help=help, no_args_is_help=True)
        # For each command: where it lives, and its line in the help.
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return [*self._homes, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of this name."""
        if cmd_name not in self._homes:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._homes[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._homes.items()])


user = LazyGroup(
    "user",
    help="Who may sign in. Works on the ledger itself: nothing has to run.",
    homes={
        "add": ("celeriac.cli.user_add:add_user", "Add someone who may sign in."),
        "list": ("celeriac.cli.user_list:list_users", "List who may sign in."),
    },
)

celeriac = LazyGroup(
    "celeriac",
    help="Run Python functions in the background, and remember every run.",
    homes={
        "up": ("celeriac.cli.up:up", "Run everything on this machine."),
        "user": ("celeriac.cli.commands:user", "Who may sign in: add, list."),
        "version": ("celeriac.cli.commands:version", "Print the version."),
    },
)


@click.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"{__version__}\n")
