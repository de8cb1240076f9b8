"""`celeriac user add`."""

from __future__ import annotations

import sys

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.misuse import MisuseError
from celeriac.cli.options import twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option, say
from celeriac.cli.render import json_text
from celeriac.cli.user_list import user_facts
from celeriac.core.user import Role
from celeriac.errors import WeakPasswordError
from celeriac.service.passwords import LEAST_CHARACTERS, Hasher, weakness
from celeriac.service.users import UserService


@click.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="submitter",
    show_default=True,
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--allow-weak", is_flag=True, help="Take a weak password, for a walk-through.")
@quiet_option("Print the name and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def add_user(
    name: str,
    *,
    role: str,
    password_stdin: bool,
    allow_weak: bool,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Add someone who may sign in; asks for the password twice."""
    password = read_password(name, from_stdin=password_stdin, allow_weak=allow_weak)
    with ledger_of(options) as ledger:
        users = UserService(ledger, Hasher())
        added = users.add_user(name, password, role=Role(role), allow_weak=allow_weak)
    if as_json:
        hand_out(json_text(user_facts(added)))
    elif is_quiet:
        hand_out(added.name)
    else:
        say(f"created {added.name} ({added.role})")


def read_password(name: str, *, from_stdin: bool, allow_weak: bool) -> str:
    """Return the password from standard input, or from the person at the terminal.

    Args:
        name: Whose it is.
        from_stdin: Whether it is the first thing to be read there.
        allow_weak: Whether it may be short, so that nobody is told how long it should be.

    Raises:
        click.UsageError: There is nobody to ask.
    """
    if from_stdin:
        return sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise MisuseError(
            "there is no terminal to ask for the password at",
            fix="give it on standard input, with --password-stdin",
        )
    wanted = "" if allow_weak else f" ({LEAST_CHARACTERS} characters or more)"
    while True:
        asked: str = click.prompt(f"Password for {name}{wanted}", hide_input=True, err=True)
        # Before it is typed a second time.
        reason = None if allow_weak else weakness(name, asked)
        if reason is not None:
            raise WeakPasswordError(reason)
        if click.prompt("The same again", hide_input=True, err=True) == asked:
            return asked
        say("the two are not the same")
