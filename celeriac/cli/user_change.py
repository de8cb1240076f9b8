"""`celeriac user set-password` and `celeriac user disable`."""

from __future__ import annotations

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import twin_option
from celeriac.cli.remote import say
from celeriac.cli.user_add import read_password
from celeriac.service.passwords import Hasher
from celeriac.service.users import UserService


@click.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--allow-weak", is_flag=True, help="Take a weak password, for a walk-through.")
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def set_password(
    name: str, *, password_stdin: bool, allow_weak: bool, **options: str | None
) -> None:
    """Give a user another password; every session of theirs ends."""
    password = read_password(name, from_stdin=password_stdin)
    with ledger_of(options) as ledger:
        UserService(ledger, Hasher()).set_password(name, password, allow_weak=allow_weak)
    say(f"{name} has a new password; every session was ended")


@click.command()
@click.argument("name")
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def disable_user(name: str, **options: str | None) -> None:
    """Let a user in no more, by password, session or key; their tasks stay."""
    with ledger_of(options) as ledger:
        ledger.users.disable(name)
    say(f"{name} is disabled; every session was ended and no key lets anybody in")
