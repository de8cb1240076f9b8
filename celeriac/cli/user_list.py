"""`celeriac user list`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option
from celeriac.cli.render import json_text
from celeriac.cli.tables import table_lines
from celeriac.core.user import User


@click.command()
@quiet_option("Print names and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def list_users(*, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """List who may sign in."""
    with ledger_of(options) as ledger:
        users = ledger.users.list()
    if as_json:
        hand_out(json_text([user_facts(each) for each in users]))
    elif is_quiet:
        hand_out(*(each.name for each in users))
    else:
        hand_out(*user_table(users, is_aligned=sys.stdout.isatty()))


def user_table(users: Sequence[User], *, is_aligned: bool) -> list[str]:
    """Return the users as lines: aligned for a terminal, with tabs for a pipe."""
    heads = ("NAME", "ROLE", "STATE", "CREATED")
    rows = [[str(cell) for cell in user_facts(each).values()] for each in users]
    return table_lines(heads, rows, is_aligned=is_aligned)


def user_facts(each: User) -> dict[str, str]:
    """Return a user as JSON; never the password's hash."""
    return {
        "name": each.name,
        "role": each.role.value,
        "state": "disabled" if each.is_disabled else "active",
        "created_at": each.created_at.isoformat(timespec="seconds"),
    }
