"""`celeriac user reset-link`."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import Options, environment_with, settings_with, twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option, say
from celeriac.cli.render import json_text
from celeriac.core.moments import utc_now
from celeriac.errors import SettingsError
from celeriac.ledger.open import Ledger
from celeriac.service.password_links import LIFETIME, PasswordLinks
from celeriac.service.profiles import local_profile, read_profile
from celeriac.up.lock import is_held
from celeriac.wording import as_typed_here

_HOURS = int(LIFETIME.total_seconds() // 3600)
LINK_NOTE = f"one-time link, good for {_HOURS} hours; give it to nobody else:"
_NOWHERE = (
    "where the service of this ledger is, is not known here:"
    " put its address before the link, or name it with --url"
)
_STOPPED = "the service does not run: the link leads to where it was, and works once it runs again"
_URL = re.compile(r"https?://[^/\s?#]+(/[^\s?#]*)?")
_URL_RULE = "http://HOST or https://HOST, with a port or a path if there is one"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is."""

    # Without a slash at its end; empty when it is not known.
    url: str
    # What the person should know of it; empty when all is well.
    doubt: str = ""


@click.command()
@click.argument("name")
@click.option("--url", metavar="URL", help="Where the service is.  [CELERIAC_URL]")
@quiet_option("Print the link and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def reset_link(
    name: str, *, url: str | None, is_quiet: bool, as_json: bool, **options: str | None
) -> None:
    """Make a one-time link by which a user chooses a new password.

    Their present password stays good until then. With the new one every session of theirs ends.
    """
    address = address_of(url, options)
    with ledger_of(options) as ledger:
        link = make_link(ledger, name, address)
    if as_json:
        hand_out(json_text({"name": name, "link": link}))
        return
    if not is_quiet:
        say(f"for {name}: {LINK_NOTE}")
    hand_out(link)


def make_link(ledger: Ledger, name: str, address: Address) -> str:
    """Return a new link for a user, with the address of the service if that is known.

    Args:
        ledger: Where the user is.
        name: Whose link.
        address: Where the service is.

    Raises:
        UserNotFoundError: There is no such user, or nobody lets them in any more.
    """
    secret = PasswordLinks(ledger, now=utc_now).make(name)
    if address.doubt:
        say(address.doubt)
    return f"{address.url}/start/{secret}"


def address_of(url: str | None, options: Options) -> Address:
    """Return where the service is that has the ledger which options and environment name.

    Args:
        url: Where it is, if that was said.
        options: The command's.

    Raises:
        SettingsError: One of them is broken, or the profile of this machine's service is.
    """
    environment = environment_with(options)
    if said := url or environment.get("CELERIAC_URL"):
        if not _URL.fullmatch(said):
            raise SettingsError("--url" if url else "CELERIAC_URL", said, _URL_RULE)
        return Address(said.rstrip("/"))
    # Not what this user's own profile names: that is a service on another machine, whose people
    # stand in another ledger.
    data_dir = settings_with(options).data_dir
    profile = read_profile(local_profile(data_dir))
    if profile is None or options.get("database_url"):
        return Address("", _NOWHERE)
    return Address(profile.url.rstrip("/"), "" if is_held(data_dir) else as_typed_here(_STOPPED))
