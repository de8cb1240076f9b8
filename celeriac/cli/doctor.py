"""`celeriac doctor`."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import click

from celeriac.cli.options import Options, environment_with, settings_with, twin_option
from celeriac.cli.remote import hand_out, json_option, quiet_option
from celeriac.cli.render import json_text
from celeriac.engine.file_sweeper import OWNER_SETTING
from celeriac.engine.local_broker import answers, with_local_broker
from celeriac.errors import BrokerUnavailableError, LedgerUnavailableError, SettingsError
from celeriac.files.store import FolderStore
from celeriac.ledger.open import Ledger, open_ledger_as_it_is
from celeriac.service.checkup import (
    check_broker,
    check_code,
    check_files,
    check_keys,
    check_modes,
    check_names,
    check_queues,
    check_waiting,
    check_worker,
    check_workers,
)
from celeriac.service.findings import Finding, Verdict, good, is_sound, problem
from celeriac.service.profiles import local_profile, read_profile
from celeriac.settings import Settings, given, mask_url
from celeriac.up.programs import Offer, ask_offer
from celeriac.up.reload import read_refused
from celeriac.up.report import Printer, mending, style_for
from celeriac.wording import as_typed_here

# What somebody finds who looks into the ledger.
Look = Callable[[Ledger], list[Finding]]

_FOUND_PROBLEMS = 8
_MARKS = {Verdict.GOOD: "✓", Verdict.WARNING: "!", Verdict.PROBLEM: "✗"}
# What holds a secret; the ledger holds hashes and whatever tasks were given.
_SECRETS = ("secret.key", "profile.json", "ledger.db", "up/flower.password")


@click.command()
@quiet_option("Print what is wrong and nothing else.")
@json_option
@click.option("--worker", metavar="NAME", help="Look at the heartbeat of this worker alone.")
@twin_option("data", "FOLDER", "Where secrets and ledger live.")
@twin_option("broker_url", "URL", "The broker; the one that `up` started if not given.")
@twin_option("database_url", "URL", "The ledger's database.")
def doctor(*, is_quiet: bool, as_json: bool, worker: str | None, **options: str | None) -> None:
    """Look at everything, and say what is wrong and what helps.

    Ends with 8 when it found a problem.
    """
    settings = settings_with(options)
    findings = look_at_worker(settings, worker) if worker else look_at_all(settings, options)
    # Here, and not as they are shown: a program hands the fix to a person as well.
    findings = [replace(each, fix=as_typed_here(each.fix)) for each in findings]
    if is_quiet:
        findings = [each for each in findings if each.verdict is not Verdict.GOOD]
    if as_json:
        hand_out(json_text([asdict(each) for each in findings]))
    else:
        lines = finding_lines(findings) if findings or not is_quiet else []
        Printer(sys.stdout, style_for(sys.stdout, os.environ)).say(*lines)
    if not is_sound(findings):
        click.get_current_context().exit(_FOUND_PROBLEMS)


def look_at_all(settings: Settings, options: Options) -> list[Finding]:
    """Return what everything is like that can be looked at from here."""
    environment = environment_with(options)
    beside = with_local_broker(settings, environment)
    broker = look_at_broker(beside.broker_url)
    has_broker = any(each.verdict is Verdict.GOOD for each in broker)
    is_ours = not given("CELERIAC_BROKER_URL", environment)
    if is_ours and not has_broker and not is_running(settings):
        # Nobody named a broker: the one that is away is ours, and away because all of it is.
        text = "service   Celeriac is not running in this folder"
        ledger = look_at_ledger(settings, lambda each: check_waiting(each.queues.list()))
        seen = [problem(text, "celeriac up"), *ledger]
    else:
        look = partial(look_at_work, settings, has_broker=has_broker)
        seen = [*look_at_ledger(settings, look), *broker]
    return [
        *seen,
        *look_at_tasks(settings),
        *check_keys(settings.secret_keys),
        *(check_modes(modes_of(settings)) if os.name != "nt" else ()),
    ]


def look_at_ledger(settings: Settings, look: Look) -> list[Finding]:
    """Return what the ledger is like, and what somebody finds who looks into it."""

    def look_at_it(ledger: Ledger) -> list[Finding]:
        shown = mask_url(settings.ledger_url)
        return [
            good(f"ledger    {shown} answers, and its tables are of this version"),
            *look(ledger),
            look_at_files(settings, us=ledger.settings.find(OWNER_SETTING)),
        ]

    return with_ledger(settings, look_at_it)


def look_at_work(settings: Settings, ledger: Ledger, *, has_broker: bool) -> list[Finding]:
    """Return what a ledger says of queues and workers.

    Args:
        settings: How long a heart may stand still.
        ledger: Where they are written down.
        has_broker: Whether the broker answers us. If not, a worker that lives may be idle for that.
    """
    workers = ledger.leases.workers()
    judged = check_workers(workers, now=datetime.now(UTC), lease=settings.lease)
    return [
        *check_queues(ledger.queues.list()),
        *check_names(ledger.queues.queued_names(), workers),
        *(each for each in judged if has_broker or each.verdict is not Verdict.GOOD),
        *check_code(workers),
    ]


def look_at_worker(settings: Settings, name: str) -> list[Finding]:
    """Return how the worker of a name is, and nothing else that is well."""

    def look(ledger: Ledger) -> list[Finding]:
        workers = ledger.leases.workers()
        return check_worker(name, workers, now=datetime.now(UTC), lease=settings.lease)

    return with_ledger(settings, look)


def with_ledger(settings: Settings, look: Look) -> list[Finding]:
    """Return what somebody finds who looks into the ledger, or why nobody can."""
    shown = mask_url(settings.ledger_url)
    file = settings.data_dir / "ledger.db"
    if not settings.database_url and not file.exists():
        return [problem(f"ledger    there is none in {settings.data_dir}", "celeriac up makes one")]
    try:
        ledger = open_ledger_as_it_is(settings.ledger_url)
    except LedgerUnavailableError as error:
        fix = error.fix or "start the database, or set CELERIAC_DATABASE_URL"
        return [problem(f"ledger    {shown}: {error.reason}", fix)]
    try:
        return look(ledger)
    except LedgerUnavailableError as error:
        return [problem(f"ledger    {shown}: {error.reason}", "look at the database's log")]
    finally:
        ledger.close()


def look_at_files(settings: Settings, *, us: str | None) -> Finding:
    """Return what the folder of tasks' files is like, for a ledger of this name."""
    store = FolderStore(settings.files_folder)
    return check_files(
        str(settings.files_folder), is_writable=store.is_writable(), owner=store.owner(), us=us
    )


def look_at_broker(url: str) -> list[Finding]:
    """Return what the broker is like."""
    from celeriac.engine.broker_facts import ask_broker

    try:
        return check_broker(ask_broker(url))
    except BrokerUnavailableError as error:
        fix = error.fix or "start it, or celeriac up; tasks wait in the ledger until it is back"
        return [problem(f"broker    {mask_url(url)}: {error.reason}", fix)]


def look_at_tasks(settings: Settings) -> list[Finding]:
    """Return which task modules the service of this data folder could not import."""
    try:
        profile = read_profile(local_profile(settings.data_dir))
    except SettingsError:
        return []
    offer = Offer() if profile is None else ask_offer(profile.url, key=profile.key)
    refused = read_refused(settings.up_dir)
    fix = mending(has_reload=refused is not None)
    found = [problem(f"tasks     {each}", fix) for each in offer.unloaded]
    # Where nobody answers it is what an `up` left that was killed.
    if profile is not None and is_served(profile.url):
        found += [
            problem(f"tasks     {each}; what runs has the code from before", "mend it and save")
            for each in refused or ()
            if each not in offer.unloaded
        ]
    return found


def is_running(settings: Settings) -> bool:
    """Return whether a service listens where the one of this data folder did last."""
    try:
        profile = read_profile(local_profile(settings.data_dir))
    except SettingsError:
        return False
    return profile is not None and is_served(profile.url)


def is_served(url: str) -> bool:
    """Return whether somebody listens at a URL."""
    parts = urlsplit(url)
    return answers(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def modes_of(settings: Settings) -> dict[str, int]:
    """Return the permission bits of the data folder and of the files that hold secrets."""
    folder = settings.data_dir
    paths = [
        folder,
        settings.files_folder,
        settings.broker_file,
        *(folder / name for name in _SECRETS),
    ]
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in paths if path.exists()}


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return findings as lines, each fix under its problem, and a count at the end."""
    lines = []
    for each in findings:
        lines.append(f"{_MARKS[each.verdict]} {each.text}")
        if each.fix:
            lines.append(f"    fix   {each.fix}")
    counts = [
        _counted(findings, Verdict.PROBLEM, "problem"),
        _counted(findings, Verdict.WARNING, "warning"),
    ]
    return [*lines, ", ".join(count for count in counts if count) or "everything is well"]


def _counted(findings: Sequence[Finding], verdict: Verdict, word: str) -> str:
    count = sum(each.verdict is verdict for each in findings)
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""
