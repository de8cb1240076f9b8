"""`celeriac up`: composes the broker, the ledger and the programs, and sees them through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import celeriac
from celeriac.engine.broker_facts import ask_broker
from celeriac.engine.local_broker import answers
from celeriac.errors import BrokerUnavailableError, LedgerUnavailableError, SettingsError
from celeriac.service.secrets import ensure_data_dir, obtain_secret, signing_keys
from celeriac.settings import Settings, given, mask_url
from celeriac.up.broker import EmbeddedBroker
from celeriac.up.children import Program
from celeriac.up.late_ledger import LateLedger
from celeriac.up.listener import Listener
from celeriac.up.lock import DataFolderLock
from celeriac.up.programs import (
    FLOWER_PASSWORD_FILE,
    Surroundings,
    environment_for,
    flower_program,
    flower_url,
    web_program,
    web_url,
    worker_program,
)
from celeriac.up.project import find_project
from celeriac.up.reload import REFUSED_FILE, Reloader
from celeriac.up.report import (
    STOPPING,
    Printer,
    heading,
    note_line,
    warning_line,
)
from celeriac.up.single import OneProcess
from celeriac.up.supervisor import StopRequestedError, Supervisor
from celeriac.up.troubles import TroubleReader, Troubles
from celeriac.up.unloaded import Unloaded
from celeriac.up.welcome import (
    check_host,
    choose_flower_port,
    hold_web_port,
    tell_ledger,
    tell_ready,
)
from celeriac.wording import own_checkout

_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


def run_up(
    settings: Settings,
    *,
    environment: Mapping[str, str],
    printer: Printer,
    has_reload: bool | None = None,
    is_single: bool = False,
) -> None:
    """Run everything on this machine until somebody asks it to end.

    Args:
        settings: How it shall run.
        environment: What the programs inherit, before what the settings add.
        printer: Where to tell how it goes.
        has_reload: Whether changed code is taken up; None where it is edited.
        is_single: Whether all of it runs in this process.

    Raises:
        StartError: It cannot start here.
        SettingsError: A setting does not fit this machine.
        LedgerUnavailableError: The ledger cannot be opened.
        DataFolderLostError: The data folder or its ledger went away meanwhile; everything was
            stopped.
    """
    began = time.monotonic()
    project = find_project(Path.cwd(), settings.app, checkout=own_checkout())
    refuse_broker(settings.broker_url, is_single=is_single, is_given=is_given(environment))
    is_new = not settings.data_dir.exists()
    settings = replace(settings, data_dir=ensure_data_dir(settings.data_dir.absolute()))
    signing_keys(settings)
    around = Surroundings(
        settings=settings, environment=environment, project=project, folder=settings.up_dir
    )
    lock = DataFolderLock(settings.data_dir, ledger=settings.ledger_file)
    lock.acquire()
    try:
        # Of an earlier start that was killed.
        (around.folder / REFUSED_FILE).unlink(missing_ok=True)
        printer.say(heading(celeriac.__version__, settings.data_dir, is_new=is_new))
        if is_single:
            OneProcess(around, printer, began=began, check=lock.check).run()
            return
        is_reloading = project.is_edited if has_reload is None else has_reload
        unloaded = Unloaded(printer.say, has_reload=is_reloading)
        supervisor = Supervisor(printer.say, check=lock.check, take=unloaded.take)
        with supervisor.listening():
            Machine(
                *(around, supervisor, printer, unloaded), began=began, has_reload=is_reloading
            ).run()
    except (OSError, LedgerUnavailableError):
        # Whatever stumbled over it first: what happened is that the folder went away.
        lock.check()
        raise
    finally:
        lock.release()


class Machine:
    """One machine with everything on it."""

    def __init__(
        self,
        around: Surroundings,
        supervisor: Supervisor,
        printer: Printer,
        unloaded: Unloaded,
        *,
        began: float,
        has_reload: bool,
    ) -> None:
        self._around = around
        self._supervisor = supervisor
        self._printer = printer
        self._unloaded = unloaded
        self._began = began
        self._has_reload = has_reload
        self._broker: EmbeddedBroker | None = None
        # Prepared before the service, which must know its place; None when another one was named.
        self._flower: Program | None = None
        self._listener: Listener | None = None
        self._ledger = LateLedger(around.settings.ledger_url)
        self._troubles = TroubleReader(around.folder)

    def run(self) -> None:
        """Start everything, keep it running, end it in order."""
        reloader: Reloader | None = None
        try:
            self._start_broker()
            check_host(self._around.settings.host, self._ledger, self._printer)
            reloader = self._create_reloader()
            url = self._start_worker_and_web(reloader)
            # While they import what they need.
            tell_ledger(self._ledger, self._around.settings.ledger_url, self._printer)
            self._supervisor.wait_until_ready()
            # Last: with it the service would be ready a third later on two processors.
            self._start_flower()
            self._supervisor.wait_until_ready()
            tell_ready(
                self._around,
                self._ledger,
                self._printer,
                url=url,
                began=self._began,
                unloaded=self._unloaded,
            )
            troubles = Troubles(self._printer.say, url=url)

            def turn() -> None:
                troubles.tell(self._troubles.read())
                if reloader is not None:
                    reloader.turn()

            self._supervisor.run(turn)
        except StopRequestedError:
            pass
        finally:
            self._printer.say(STOPPING)
            if reloader is not None:
                reloader.close()
            if self._listener is not None:
                # Whoever asks from now on is refused, however long a worker takes to end.
                self._listener.close()
            self._supervisor.stop()
            if self._broker is not None:
                self._broker.forget()
            self._ledger.close()
            self._printer.say("  stopped")

    def _start_broker(self) -> None:
        settings = self._around.settings
        environment = self._around.environment
        if is_given(environment):
            url = settings.broker_url
            self._printer.say(broker_line(url))
        else:
            broker = EmbeddedBroker(self._around.folder, environment=environment)
            if broker.stop_orphan():
                self._printer.say(warning_line("broker", "stopped the one an earlier start left"))
            self._broker = broker
            self._supervisor.start([broker.program()])
            self._supervisor.wait_until_ready()
            url = broker.url
        self._around = replace(
            self._around, environment=environment_for(self._around, broker_url=url)
        )

    def _create_reloader(self) -> Reloader | None:
        if not self._has_reload:
            return None
        checkout = own_checkout()
        return Reloader(
            self._around,
            package=None if checkout is None else checkout / "celeriac",
            spawn=self._supervisor.spawn,
            restart=lambda: self._supervisor.restart({"worker", "web"}),
            say=self._printer.say,
        )

    def _start_worker_and_web(self, reloader: Reloader | None) -> str:
        settings = self._around.settings
        chosen = hold_web_port(settings, self._printer)
        self._listener = Listener(chosen.sockets)
        worker = worker_program(
            self._around,
            list_workers=self._ledger.list_workers,
            code_file=None if reloader is None else reloader.first_answer,
            troubles_file=self._troubles.path,
        )
        web = web_program(
            self._around,
            host=settings.host,
            port=chosen.port,
            listener=self._listener,
            flower_url="" if settings.flower_url else self._prepare_flower(),
        )
        self._supervisor.start([worker, web])
        return web_url(settings.host, chosen.port)

    def _prepare_flower(self) -> str:
        port = choose_flower_port(self._around.settings, self._printer)
        password = obtain_secret(self._around.folder, FLOWER_PASSWORD_FILE)
        self._flower = flower_program(self._around, port=port, password=password)
        return flower_url(port, password)

    def _start_flower(self) -> None:
        if self._flower is not None:
            self._supervisor.start([self._flower])
            return
        shown = mask_url(self._around.settings.flower_url)
        self._printer.say(note_line("flower", f"{shown} (not ours)"))


def broker_line(url: str) -> str:
    """Return the line about a broker that somebody else runs."""
    parts = urlsplit(url)
    shown = mask_url(url)
    if parts.scheme == "sentinel":
        return _sentinel_line(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        return note_line("broker", f"{shown} (not ours)")
    if not answers(parts.hostname, parts.port or _PORTS[parts.scheme]):
        return warning_line(
            "broker", f"{shown} does not answer; tasks wait in the ledger until one does"
        )
    try:
        ask_broker(url)
    except BrokerUnavailableError as error:
        # It lets nobody in under this URL. Of one that only will not tell about itself nothing
        # is said: it may work all the same.
        if error.fix:
            return warning_line("broker", f"{shown}: {error.reason.rstrip('.')}; {error.fix}")
    return note_line("broker", f"{shown} (not ours)")


def _sentinel_line(url: str) -> str:
    shown = mask_url(url)
    try:
        ask_broker(url)
    except BrokerUnavailableError as error:
        said = error.fix or "tasks wait in the ledger until one does"
        return warning_line("broker", f"{shown}: {error.reason.rstrip('.')}; {said}")
    return note_line("broker", f"{shown} (not ours)")


def is_given(environment: Mapping[str, str]) -> bool:
    """Return whether somebody named a broker."""
    return bool(given("CELERIAC_BROKER_URL", environment))


def refuse_broker(url: str, *, is_single: bool, is_given: bool) -> None:
    """Refuse a broker inside one process for several, and one outside it for a single one.

    Raises:
        SettingsError: It is one of these.
    """
    is_inside = urlsplit(url).scheme == "memory"
    if is_inside and not is_single:
        allowed = "a broker that processes can share; or none, and --single-process"
        raise SettingsError("CELERIAC_BROKER_URL", url, allowed)
    if is_single and is_given and not is_inside:
        allowed = "none with --single-process, which has its broker inside"
        raise SettingsError("CELERIAC_BROKER_URL", mask_url(url), allowed)
