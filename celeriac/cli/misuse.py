"""A command that cannot be done as it was typed."""

from __future__ import annotations

import click

from celeriac.cli.durations import DURATION
from celeriac.core.nearest import did_you_mean, nearest


class MisuseError(click.UsageError):
    """A command that cannot be done as it was typed; says what can."""

    def __init__(self, why: str, *, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def reason_of(error: click.UsageError) -> str:
    """Return why a command cannot be done as it was typed, in one sentence without its stop."""
    if isinstance(error, click.NoSuchOption):
        question = did_you_mean(nearest(error.option_name, error.possibilities or ()))
        why = f"there is no option {error.option_name!r}"
        return f"{why}; {question}" if question else why
    sentence = error.format_message().strip().removesuffix(".")
    # As in all that we say ourselves; the library begins with a capital.
    is_ours = isinstance(error, MisuseError)
    return sentence if is_ours else f"{sentence[:1].lower()}{sentence[1:]}"


def fix_of(error: click.UsageError) -> str:
    """Return what helps somebody whose command was not understood."""
    if isinstance(error, MisuseError):
        return error.fix
    path = error.ctx.command_path if error.ctx else "celeriac"
    help_text = f"{path} --help says what there is"
    if isinstance(error, click.BadOptionUsage) and _takes_duration(error):
        return f"write {error.option_name} 30s, for example; {help_text}"
    return help_text


def _takes_duration(error: click.BadOptionUsage) -> bool:
    options = error.ctx.command.params if error.ctx else ()
    return any(error.option_name in each.opts and each.type is DURATION for each in options)
