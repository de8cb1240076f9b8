"""`celeriac task-types` and `celeriac tasks describe`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from celeriac.cli.completion import TASK_NAME
from celeriac.cli.remote import client_of, hand_out, json_option, quiet_option, service_options
from celeriac.cli.render import json_text
from celeriac.cli.task_type_texts import task_type_lines, task_type_table
from celeriac.wording import as_typed_here


@click.command()
@quiet_option("Print names and nothing else.")
@json_option
@service_options
def list_task_types(*, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """List what can be submitted."""
    with client_of(options) as client:
        found = client.task_types()
    if as_json:
        hand_out(json_text([asdict(each) for each in found]))
        return
    if is_quiet:
        hand_out(*(each.name for each in found))
        return
    hand_out(*task_type_table(found, is_for_people=sys.stdout.isatty()))


@click.command()
@click.argument("name", type=TASK_NAME)
@quiet_option("Print the names of its arguments and nothing else.")
@json_option
@service_options
def describe_task_type(name: str, *, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """Show what a task does and what it takes."""
    with client_of(options) as client:
        found = client.task_type(name)
    if as_json:
        hand_out(json_text(asdict(found)))
        return
    if is_quiet:
        hand_out(*found.schema.get("properties", {}))
        return
    hand_out(*map(as_typed_here, task_type_lines(found)))
