"""`celeriac worker`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from celeriac.cli.options import environment_with, settings_with, twin_option
from celeriac.settings import Settings
from celeriac.up.project import find_project
from celeriac.wording import own_checkout


@click.command(context_settings={"ignore_unknown_options": True})
@twin_option("app", "APP", "The Celery app, or a FILE.py with tasks; celery_app if not given.")
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("broker_url", "URL", "The broker.")
@twin_option("database_url", "URL", "The ledger's database.")
@twin_option("concurrency", "N", "Tasks that run at a time.")
@twin_option("queues", "NAMES", "Queues it serves, with commas between them.")
@twin_option("log_level", "LEVEL", "debug, info, warning or error.")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED, metavar="[CELERY OPTIONS]...")
def worker(*, rest: tuple[str, ...], **options: str | None) -> None:
    """Run one worker with these settings.

    Whatever else is given goes on to Celery, such as -n NAME or --max-tasks-per-child.
    """
    settings = settings_with(options)
    project = find_project(Path.cwd(), settings.app, checkout=own_checkout())
    environment = {**environment_with(options), **project.environment()}
    command = worker_command(
        settings,
        rest,
        # Told none, it serves the queues of all its tasks.
        has_queues="CELERIAC_QUEUES" in environment,
        has_processes=os.name != "nt",
    )
    if os.name == "nt":
        ended = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own words
        click.get_current_context().exit(ended.returncode)
    # In our place, so that signals and the exit code are the worker's own.
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


def worker_command(
    settings: Settings, rest: Sequence[str], *, has_queues: bool, has_processes: bool
) -> list[str]:
    """Return the command line of a worker; what stands in `rest` wins."""
    pool = "processes" if has_processes else "threads"
    return [
        *(sys.executable, "-m", "celeriac.entries.worker", f"--pool={pool}"),
        *(f"--concurrency={settings.concurrency}", "--loglevel", settings.log_level),
        *(("-Q", ",".join(settings.queues)) if has_queues else ()),
        *rest,
    ]
