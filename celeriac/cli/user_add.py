"""`celeriac user add`."""

from __future__ import annotations

import sys

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.misuse import MisuseError
from celeriac.cli.options import twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option, say
from celeriac.cli.render import json_text
from celeriac.cli.user_link import LINK_NOTE, address_of, make_link
from celeriac.cli.user_list import user_facts
from celeriac.core.user import Role, User
from celeriac.errors import UserExistsError, WeakPasswordError
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
@click.option("--link", "is_by_link", is_flag=True, help="Make a link by which they choose it.")
@click.option("--url", metavar="URL", help="Where the link leads to.  [CELERIAC_URL]")
@quiet_option("Print the name, or the link, and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def add_user(
    name: str,
    *,
    role: str,
    password_stdin: bool,
    allow_weak: bool,
    is_by_link: bool,
    url: str | None,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Add someone who may sign in; asks for the password twice.

    Given none there, or with --link, it makes a link: whoever opens it chooses the password.
    """
    if is_by_link and (password_stdin or allow_weak):
        raise MisuseError(
            "with --link the password is chosen by whoever opens it",
            fix="leave out --password-stdin and --allow-weak, or --link",
        )
    address = address_of(url, options)
    link = None
    with ledger_of(options) as ledger:
        users = UserService(ledger, Hasher())
        if ledger.users.find(name) is not None:
            # Before anybody thinks of a password.
            raise UserExistsError(name)
        password = None
        if password_stdin:
            password = read_password(name, from_stdin=True, allow_weak=allow_weak)
        elif not is_by_link:
            password = _ask_or_link(name, allow_weak=allow_weak)
        if password is None:
            added = users.invite_user(name, role=Role(role))
            link = make_link(ledger, name, address)
        else:
            added = users.add_user(name, password, role=Role(role), allow_weak=allow_weak)
    _tell(added, link, is_quiet=is_quiet, as_json=as_json)


def _tell(added: User, link: str | None, *, is_quiet: bool, as_json: bool) -> None:
    if as_json:
        hand_out(json_text(user_facts(added) | ({} if link is None else {"link": link})))
    elif is_quiet:
        hand_out(link or added.name)
    else:
        say(f"created {added.name} ({added.role})")
        if link is not None:
            say(LINK_NOTE)
            hand_out(link)


def read_password(name: str, *, from_stdin: bool, allow_weak: bool) -> str:
    """Return the password from standard input, or from the person at the terminal.

    Args:
        name: Whose it is.
        from_stdin: Whether it is the first thing to be read there.
        allow_weak: Whether it may be short, so that nobody is told how long it should be.

    Raises:
        MisuseError: There is nobody to ask.
        WeakPasswordError: What was typed is not good enough.
    """
    if from_stdin:
        return sys.stdin.read().removesuffix("\n").removesuffix("\r")
    wanted = "" if allow_weak else f"({LEAST_CHARACTERS} characters or more)"
    while True:
        asked = _ask(name, wanted, allow_weak=allow_weak)
        if asked is not None:
            return asked


def _ask(name: str, wanted: str, *, allow_weak: bool) -> str | None:
    """Return a password that somebody typed twice; None when they typed none."""
    if not sys.stdin.isatty():
        raise MisuseError(
            "there is no terminal to ask for the password at",
            fix="let them choose it by a link, with --link; or give it on standard input,"
            " with --password-stdin",
        )
    prompt = f"Password for {name} {wanted}".rstrip()
    while True:
        asked: str = click.prompt(prompt, default="", show_default=False, hide_input=True, err=True)
        if not asked:
            return None
        # Before it is typed a second time.
        reason = None if allow_weak else weakness(name, asked)
        if reason is not None:
            raise WeakPasswordError(reason)
        if click.prompt("The same again", hide_input=True, err=True) == asked:
            return asked
        say("the two are not the same")


def _ask_or_link(name: str, *, allow_weak: bool) -> str | None:
    """Return a password that somebody typed twice; None when they would rather have a link."""
    least = "" if allow_weak else f"{LEAST_CHARACTERS} characters or more; "
    return _ask(name, f"({least}Enter alone makes a link)", allow_weak=allow_weak)
