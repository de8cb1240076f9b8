"""`celeriac up`."""

from __future__ import annotations

import os
import sys

import click

from celeriac.cli.misuse import MisuseError
from celeriac.cli.options import environment_with, settings_with, twin_option
from celeriac.settings import is_tasks_file
from celeriac.up.report import Printer, style_for
from celeriac.up.start import is_given, run_up


@click.command()
@click.argument("file", required=False, metavar="[FILE]")
@twin_option("app", "APP", "An existing Celery app, such as proj.celery:app.")
@twin_option("data", "FOLDER", "Where secrets, broker and ledger live.")
@twin_option("host", "ADDRESS", "Where the HTTP service listens.")
@twin_option("port", "PORT", "Its port; 0 is any free one.")
@twin_option("flower_port", "PORT", "Flower's port on the loopback; 0 is any free one.")
@twin_option("concurrency", "N", "Tasks that run at a time.")
@twin_option("queues", "NAMES", "Queues of the worker, with commas between them.")
@twin_option("broker_url", "URL", "Use this broker instead of starting one.")
@twin_option("database_url", "URL", "Use this database instead of a file in the data folder.")
@twin_option("log_level", "LEVEL", "debug, info, warning or error.")
@click.option(
    "--reload/--no-reload",
    "has_reload",
    default=None,
    help="Take up changed code; by default where it is edited: in a git checkout, or a FILE.",
)
@click.option(
    "--single-process/--several-processes",
    "is_single",
    default=None,
    help="Run it all in one process; by default on Windows alone.",
)
def up(
    file: str | None, *, has_reload: bool | None, is_single: bool | None, **options: str | None
) -> None:
    """Run everything on this machine: broker, worker, HTTP service, Flower.

    FILE holds your tasks, as `celeriac init` writes one; without it celery_app.py or tasks.py of
    this folder is taken, else the samples. Ends on Ctrl-C. Options can be set in the environment
    too, by the name in brackets.
    """
    if file is not None:
        if options["app"] is not None:
            raise MisuseError("FILE and --app both name the tasks", fix="give one of them")
        if not is_tasks_file(file):
            raise MisuseError(
                f"{file} is no FILE.py", fix="a Celery app is named by -A MODULE:ATTRIBUTE"
            )
        options["app"] = file
    settings = settings_with(options)
    environment = environment_with(options)
    if is_single is None:
        # Celery has no pool of processes there, and nobody packages a broker for it.
        is_single = os.name == "nt" and not is_given(environment)
    if is_single and has_reload:
        raise MisuseError(
            "--reload needs several processes", fix="leave out --reload or --single-process"
        )
    printer = Printer(sys.stdout, style_for(sys.stdout, os.environ))
    run_up(
        settings,
        environment=environment,
        printer=printer,
        has_reload=has_reload,
        is_single=is_single,
    )
