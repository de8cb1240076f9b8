"""`celeriac user list`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import twin_option
from celeriac.cli.tables import table_lines
from celeriac.core.user import User


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def list_users(*, as_json: bool, **options: str | None) -> None:
    """List who may sign in."""
    with ledger_of(options) as ledger:
        users = ledger.users.list()
    is_aligned = sys.stdout.isatty()
    sys.stdout.write(render_json(users) if as_json else render_table(users, is_aligned=is_aligned))


def render_json(users: Sequence[User]) -> str:
    """Return the users as one JSON document."""
    return json.dumps([_facts(each) for each in users], indent=2) + "\n"


def render_table(users: Sequence[User], *, is_aligned: bool) -> str:
    """Return the users as lines: aligned for a terminal, with tabs for a pipe."""
    heads = ("NAME", "ROLE", "STATE", "CREATED")
    rows = [[str(cell) for cell in _facts(each).values()] for each in users]
    return "".join(f"{line}\n" for line in table_lines(heads, rows, is_aligned=sys.stdout.isatty()))


def _facts(each: User) -> dict[str, str]:
    return {
        "name": each.name,
        "role": each.role.value,
        "state": "disabled" if each.is_disabled else "active",
        "created_at": each.created_at.isoformat(timespec="seconds"),
    }
