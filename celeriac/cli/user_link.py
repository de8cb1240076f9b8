"""`celeriac user reset-link`."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import twin_option
from celeriac.cli.remote import data_dir_of, hand_out, json_option, quiet_option, say
from celeriac.cli.render import json_text
from celeriac.core.moments import utc_now
from celeriac.ledger.open import Ledger
from celeriac.service.password_links import LIFETIME, PasswordLinks
from celeriac.service.profiles import local_profile, read_profile, user_profile

_HOURS = int(LIFETIME.total_seconds() // 3600)
LINK_NOTE = f"one-time link, good for {_HOURS} hours; give it to nobody else:"
_NOWHERE = "no service runs here: put its address before the link, or name it with --url"


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
    with ledger_of(options) as ledger:
        link = make_link(ledger, name, url=url)
    if as_json:
        hand_out(json_text({"name": name, "link": link}))
        return
    if not is_quiet:
        say(f"for {name}: {LINK_NOTE}")
    hand_out(link)


def make_link(ledger: Ledger, name: str, *, url: str | None) -> str:
    """Return a new link for a user, with the address of the service if that is known.

    Args:
        ledger: Where the user is.
        name: Whose link.
        url: Where the service is, if that was said.

    Raises:
        UserNotFoundError: There is no such user, or nobody lets them in any more.
    """
    address = _address(url, os.environ)
    secret = PasswordLinks(ledger, now=utc_now).make(name)
    if address is None:
        say(_NOWHERE)
    return f"{address or ''}/start/{secret}"


def _address(url: str | None, environment: Mapping[str, str]) -> str | None:
    if said := url or environment.get("CELERIAC_URL"):
        return said.rstrip("/")
    for path in (local_profile(data_dir_of(environment)), user_profile(environment)):
        if (found := read_profile(path)) is not None:
            return found.url.rstrip("/")
    return None
