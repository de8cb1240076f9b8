"""`celeriac init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from celeriac.cli.misuse import MisuseError
from celeriac.cli.remote import say

TASKS = '''\
from celeriac import progress, task


@task(name="hello.greet", retries=2)
def greet(name: str, times: int = 1) -> list[str]:
    """Greet somebody, as often as you like."""
    progress(times, times, "greeting")
    return [f"Hello, {name}!"] * times
'''


@click.command()
@click.argument("file", default="tasks.py", type=click.Path(path_type=Path, dir_okay=False))
def init(file: Path) -> None:
    """Write a file with one task to begin with; a file that exists is left alone."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise MisuseError(
            f"{file} exists already; nothing was written",
            fix=f"celeriac up {shlex.quote(str(file))} runs it; celeriac init NAME.py writes more",
        ) from None
    except OSError as error:
        raise MisuseError(
            f"{file} cannot be written: {error.strerror}",
            fix="name a file in a folder that is there and that you may write",
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        written.write(TASKS)
    say(f"wrote {file}: a task hello.greet")
