"""`celeriac key …`: works on the ledger itself, so that nothing has to run."""

from __future__ import annotations

import sys
from datetime import timedelta

import click

from celeriac.cli.durations import DURATION
from celeriac.cli.key_texts import key_facts, key_state, key_table
from celeriac.cli.ledgers import ledger_of
from celeriac.cli.options import twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option, say
from celeriac.cli.render import json_text
from celeriac.core.moments import utc_now
from celeriac.core.user import Scope
from celeriac.service.keys import KeyRequest, KeyService

_SCOPES = click.Choice([scope.value for scope in Scope])


class Scopes(click.ParamType[frozenset[Scope]]):
    """Rights with commas between them."""

    name = "scopes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[Scope]:
        """Return what was typed as rights."""
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        return frozenset(Scope(_SCOPES.convert(word, param, ctx)) for word in words)


@click.command()
@click.argument("label")
@click.option("--user", required=True, help="In whose name it acts.")
@click.option(
    "--scope", "scopes", type=Scopes(), default="submit,read", show_default=True,
    help="What it may do, with commas: read, submit, operate, admin.",
)  # fmt: skip
@click.option("--task", "patterns", multiple=True, help="Only such task names; repeatable: image.*")
@click.option("--expires", type=DURATION, help="How long it is good, such as 90d; always if not.")
@quiet_option("Print the key and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def create_key(
    label: str,
    *,
    user: str,
    scopes: frozenset[Scope],
    patterns: tuple[str, ...],
    expires: timedelta | None,
    is_quiet: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Make a key for a program; it is printed once, and nobody can read it again."""
    request = KeyRequest(
        user=user, label=label, scopes=scopes, task_patterns=patterns, lifetime=expires
    )
    with ledger_of(options) as ledger:
        made = KeyService(ledger, now=utc_now).create_key(request)
    if as_json:
        hand_out(json_text({**key_facts(made.key, now=utc_now()), "key": made.text}))
        return
    rights = ",".join(sorted(made.key.scopes))
    if not is_quiet:
        state = key_state(made.key, now=utc_now())
        say(f"created {made.key.id}, {label} of {user}: {rights}; {state}")
    hand_out(made.text)


@click.command()
@click.option("--user", required=True, help="Whose keys.")
@quiet_option("Print ids and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def list_keys(*, user: str, is_quiet: bool, as_json: bool, **options: str | None) -> None:
    """List a user's keys, those that are no longer good too."""
    with ledger_of(options) as ledger:
        keys = KeyService(ledger, now=utc_now).list_keys(user)
    now = utc_now()
    if as_json:
        hand_out(json_text([key_facts(key, now=now) for key in keys]))
        return
    if is_quiet:
        hand_out(*(key.id for key in keys))
        return
    hand_out(*key_table(keys, now=now, is_for_people=sys.stdout.isatty()))


@click.command()
@click.argument("key_id", metavar="ID")
@click.option("--user", required=True, help="Whose key it is.")
@quiet_option("Print its id and nothing else.")
@json_option
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("database_url", "URL", "The ledger's database.")
def revoke_key(
    key_id: str, *, user: str, is_quiet: bool, as_json: bool, **options: str | None
) -> None:
    """Make a key good for nothing, from its next request on."""
    with ledger_of(options) as ledger:
        key = KeyService(ledger, now=utc_now).revoke_key(key_id, user=user)
    if as_json:
        hand_out(json_text(key_facts(key, now=utc_now())))
    elif is_quiet:
        hand_out(key.id)
    else:
        say(f"revoked {key.id}, {key.label} of {user}")
