"""The commands by name; each lives in a module of its own that is imported when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from celeriac import __version__
from celeriac.cli.synonyms import meant_by
from celeriac.core.nearest import did_you_mean

# Set by the shell's script when it asks what to fill in.
COMPLETION_VARIABLE = "_CELERIAC_COMPLETE"


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names.

        Raises:
            click.NoSuchCommand: There is none; says which ones are like it.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # Its own question knows those commands alone that are imported already.
            question = did_you_mean(meant_by(error.command_name, self.list_commands(ctx)))
            message = f"there is no command {error.command_name!r}"
            told = f"{message}; {question}" if question else message
            raise click.NoSuchCommand(error.command_name, told, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was called.

        Raises:
            click.BadOptionUsage: One of its options came without its value; says which command's.
        """
        try:
            return super().invoke(ctx)
        except click.BadOptionUsage as error:
            name = ctx.invoked_subcommand
            command = self.get_command(ctx, name) if name and error.ctx is None else None
            if command is not None:
                # The library's parser leaves it out, and nobody would know whose help tells more.
                error.ctx = click.Context(command, parent=ctx, info_name=name)
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so, without importing any of them."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        found = [
            CompletionItem(name, help=line)
            for name, (_, line) in self._homes.items()
            if name.startswith(incomplete)
        ]
        return [*found, *options]

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
        "set-password": ("celeriac.cli.user_change:set_password", "Give another password."),
        "reset-link": ("celeriac.cli.user_link:reset_link", "Make a link to choose a password."),
        "disable": ("celeriac.cli.user_change:disable_user", "Let somebody in no more."),
    },
)

key = LazyGroup(
    "key",
    help="Keys for programs. Works on the ledger itself: nothing has to run.",
    homes={
        "create": ("celeriac.cli.keys:create_key", "Make a key; it is shown once."),
        "list": ("celeriac.cli.keys:list_keys", "List a user's keys."),
        "revoke": ("celeriac.cli.keys:revoke_key", "Make a key good for nothing."),
    },
)

tasks = LazyGroup(
    "tasks",
    help="The tasks of a service: list, read, cancel, retry.",
    homes={
        "list": ("celeriac.cli.tasks:list_tasks", "List tasks, newest first."),
        "get": ("celeriac.cli.tasks:get_task", "Show how a task stands."),
        "describe": ("celeriac.cli.task_types:describe_task_type", "Show what a task takes."),
        "cancel": ("celeriac.cli.tasks:cancel_tasks", "Cancel tasks."),
        "retry": ("celeriac.cli.tasks:retry_task", "Run a task that has ended again."),
    },
)

queues = LazyGroup(
    "queues",
    help="The queues of a service: list, pause, resume.",
    homes={
        "list": ("celeriac.cli.queues:list_queues", "List queues with what waits in them."),
        "pause": ("celeriac.cli.queues:pause_queue", "Have nothing more of a queue begun."),
        "resume": ("celeriac.cli.queues:resume_queue", "Have its tasks begun again."),
    },
)

completion = LazyGroup(
    "completion",
    help="Have the shell fill in commands, task names, ids and queues.",
    homes={
        "show": ("celeriac.cli.completion:show_completion", "Print the script for a shell."),
        "install": ("celeriac.cli.completion:install_completion", "Write it where shells look."),
    },
)

celeriac = LazyGroup(
    "celeriac",
    help="Run Python functions in the background, and remember every run.",
    homes={
        "up": ("celeriac.cli.up:up", "Run everything on this machine."),
        "init": ("celeriac.cli.init:init", "Write a file with a task to begin with."),
        "worker": ("celeriac.cli.worker:worker", "Run one worker."),
        "submit": ("celeriac.cli.submit:submit", "Submit a task."),
        "wait": ("celeriac.cli.tasks:wait_for_task", "Wait until a task has ended."),
        "get": ("celeriac.cli.tasks:get_task", "Show how a task stands."),
        "tasks": ("celeriac.cli.commands:tasks", "Tasks: list, get, describe, cancel, retry."),
        "task-types": ("celeriac.cli.task_types:list_task_types", "List what can be submitted."),
        "queues": ("celeriac.cli.commands:queues", "Queues: list, pause, resume."),
        "user": (
            "celeriac.cli.commands:user",
            "Who may sign in: add, list, set-password, disable.",
        ),
        "key": ("celeriac.cli.commands:key", "Keys for programs: create, list, revoke."),
        "doctor": ("celeriac.cli.doctor:doctor", "Say what is wrong, and what helps."),
        "completion": (
            "celeriac.cli.commands:completion",
            "Words that the shell fills in: show, install.",
        ),
        "version": ("celeriac.cli.commands:version", "Print the version."),
    },
)


@click.command()
def version() -> None:
    """Print the version."""
    from celeriac.cli.remote import hand_out

    hand_out(__version__)


celeriac.params.append(
    click.Option(
        ["--no-color"],
        is_flag=True,
        expose_value=False,
        help="Print without colour, as with NO_COLOR=1; may stand anywhere.",
    )
)
