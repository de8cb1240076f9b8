"""`celeriac user set-password` and `celeriac user disable`."""

from __future__ import annotations

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option, say
from celeriac.cli.render import json_text
from celeriac.cli.user_add import read_password
from celeriac.cli.user_list import user_facts
from celeriac.core.user import User
from celeriac.service.passwords import Hasher
from celeriac.service.users import UserService


@click.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--allow-weak", is_flag=True, help="Take a weak password, for a walk-through.")
@quiet_option("Print the name and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def set_password(
    name: str,
    *,
    password_stdin: bool,
    allow_weak: bool,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Give a user another password; every session of theirs ends."""
    password = read_password(name, from_stdin=password_stdin, allow_weak=allow_weak)
    with ledger_of(options) as ledger:
        UserService(ledger, Hasher()).set_password(name, password, allow_weak=allow_weak)
        changed = ledger.users.find(name)
    told = f"{name} has a new password; every session was ended"
    _tell(name, changed, told, is_quiet=is_quiet, as_json=as_json)


@click.command()
@click.argument("name")
@quiet_option("Print the name and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def disable_user(name: str, *, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """Let a user in no more, by password, session or key; their tasks stay."""
    with ledger_of(options) as ledger:
        ledger.users.disable(name)
        changed = ledger.users.find(name)
    told = f"{name} is disabled; every session was ended and no key lets anybody in"
    _tell(name, changed, told, is_quiet=is_quiet, as_json=as_json)


def _tell(name: str, changed: User | None, told: str, *, is_quiet: bool, as_json: bool) -> None:
    if as_json:
        hand_out(json_text(None if changed is None else user_facts(changed)))
    elif is_quiet:
        hand_out(name)
    else:
        say(told)
