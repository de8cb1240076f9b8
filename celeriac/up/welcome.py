"""What is settled and told around a start, whether of several programs or of one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import timedelta

from celeriac.core.user import Role, User
from celeriac.errors import SettingsError
from celeriac.service.profiles import local_profile, read_profile
from celeriac.settings import Settings, mask_url
from celeriac.up.late_ledger import LateLedger
from celeriac.up.ports import ChosenPort, choose_port, hold_port
from celeriac.up.programs import WORKER_GRACE, Offer, Surroundings, ask_offer
from celeriac.up.report import (
    Printer,
    below,
    closing_lines,
    ready_line,
    taken_port_line,
    tasks_line,
    try_words,
    warning_line,
)
from celeriac.up.unloaded import Unloaded
from celeriac.wording import command_word

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_host(host: str, ledger: LateLedger, printer: Printer) -> None:
    """Warn of a host that other machines can reach, once somebody can steer the service.

    Raises:
        SettingsError: Nobody can.
        LedgerUnavailableError: The ledger cannot be opened.
    """
    if host in _LOOPBACK:
        return
    ledger.open()
    refuse_without_admin(host, ledger.list_users())
    open_to_all = f"listens on {host} without TLS: put a proxy with TLS before it"
    printer.say(warning_line("web", open_to_all))


def refuse_without_admin(host: str, users: Iterable[User]) -> None:
    """Refuse to listen for other machines while nobody could steer the service.

    Raises:
        SettingsError: There is no admin.
    """
    if not any(user.role is Role.ADMIN for user in users):
        allowed = "127.0.0.1, until `celeriac user add NAME --role admin` has made an admin"
        raise SettingsError("CELERIAC_HOST", host, allowed)


def choose_web_port(settings: Settings, printer: Printer) -> int:
    """Return the service's port: the wanted one, or the next free one, and say so."""
    chosen = choose_port(settings.host, settings.port, variable="CELERIAC_PORT")
    return _told("web", chosen, printer).port


def hold_web_port(settings: Settings, printer: Printer) -> ChosenPort:
    """Return the service's port, as above, with what listens there where that can be handed on."""
    # Windows hands on no socket by its number.
    choose = choose_port if sys.platform == "win32" else hold_port
    chosen = choose(settings.host, settings.port, variable="CELERIAC_PORT")
    return _told("web", chosen, printer)


def choose_flower_port(settings: Settings, printer: Printer) -> int:
    """Return Flower's port, as above."""
    chosen = choose_port("127.0.0.1", settings.flower_port, variable="CELERIAC_FLOWER_PORT")
    return _told("flower", chosen, printer).port


def tell_ledger(ledger: LateLedger, url: str, printer: Printer) -> None:
    """Open the ledger and say that it is ready.

    Raises:
        LedgerUnavailableError: It cannot be opened.
    """
    took = ledger.open()
    printer.say(ready_line("ledger", ledger_words(url), took))


def ledger_words(url: str) -> str:
    """Return a ledger's URL as a person would say it."""
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:") else mask_url(url)


def tell_ready(
    around: Surroundings,
    ledger: LateLedger,
    printer: Printer,
    *,
    url: str,
    began: float,
    unloaded: Unloaded,
) -> None:
    """Let this machine's command line in, and say what somebody may do now.

    Args:
        around: What was started.
        ledger: The ledger, open.
        printer: Where to say it.
        url: Where the service answers.
        began: When the start began, by the monotonic clock.
        unloaded: Tells of task modules that cannot be imported.
    """
    data_dir = around.settings.data_dir
    ledger.keep_profile(data_dir, url=url)
    link = ledger.make_start_link()
    profile = read_profile(local_profile(data_dir))
    offer = Offer() if profile is None else ask_offer(url, key=profile.key)
    # Where a module cannot be imported it is known already what is missing.
    is_known = offer.is_told and bool(offer.names or not offer.unloaded)
    if is_known:
        printer.say(tasks_line(offer.names))
    printer.say(
        *closing_lines(
            url=url,
            took=timedelta(seconds=time.monotonic() - began),
            flower=f"{url}/flower",
            logs=around.folder,
            grace=WORKER_GRACE,
            start_link="" if link is None else f"{url}/start/{link}",
            to_try=f"{command_word()} {try_words(offer.names)}" if is_known else "",
        ),
    )
    # Here it is read: what is above the block is scrolled away.
    unloaded.tell(offer.unloaded)


def _told(name: str, chosen: ChosenPort, printer: Printer) -> ChosenPort:
    if chosen.taken is not None:
        holder = str(chosen.holder or "another program")
        printer.say(taken_port_line(name, taken=chosen.taken, holder=holder, port=chosen.port))
        if name == "web":
            printer.say(
                below(f"links and lines of code with the port {chosen.taken} do not lead here")
            )
    return chosen
