"""A command that cannot be done as it was typed."""

from __future__ import annotations

import click


class MisuseError(click.UsageError):
    """A command that cannot be done as it was typed; says what can."""

    def __init__(self, why: str, *, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def fix_of(error: click.UsageError) -> str:
    """Return what helps somebody whose command was not understood."""
    if isinstance(error, MisuseError):
        return error.fix
    path = error.ctx.command_path if error.ctx else "celeriac"
    return f"{path} --help says what there is"
