"""`celeriac up`: composes the broker, the ledger and the programs, and sees them through."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import celeriac
from celeriac.core.user import Role, User
from celeriac.engine.local_broker import answers
from celeriac.errors import SettingsError
from celeriac.service.profiles import local_profile, read_profile
from celeriac.service.secrets import ensure_data_dir, obtain_secret, signing_keys
from celeriac.settings import Settings, given, mask_url
from celeriac.up.broker import EmbeddedBroker
from celeriac.up.children import Program
from celeriac.up.late_ledger import LateLedger
from celeriac.up.lock import DataFolderLock
from celeriac.up.ports import choose_port
from celeriac.up.programs import (
    FLOWER_PASSWORD_FILE,
    WORKER_GRACE,
    Surroundings,
    ask_task_names,
    flower_program,
    flower_url,
    web_program,
    web_url,
    worker_program,
)
from celeriac.up.project import command_word, find_project, own_checkout
from celeriac.up.reload import Reloader
from celeriac.up.report import (
    Printer,
    closing_lines,
    heading,
    note_line,
    ready_line,
    taken_port_line,
    tasks_line,
    try_words,
    warning_line,
)
from celeriac.up.supervisor import StopRequestedError, Supervisor

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REDIS_PORT = 6379


def run_up(
    settings: Settings,
    *,
    environment: Mapping[str, str],
    printer: Printer,
    has_reload: bool | None = None,
) -> None:
    """Run everything on this machine until somebody asks it to end.

    Args:
        settings: How it shall run.
        environment: What the programs inherit, before what the settings add.
        printer: Where to tell how it goes.
        has_reload: Whether changed code is taken up; None where it is edited.

    Raises:
        StartError: It cannot start here.
        SettingsError: A setting does not fit this machine.
        LedgerUnavailableError: The ledger cannot be opened.
    """
    began = time.monotonic()
    project = find_project(Path.cwd(), settings.app, checkout=own_checkout())
    refuse_memory_broker(settings.broker_url)
    is_new = not settings.data_dir.exists()
    settings = replace(settings, data_dir=ensure_data_dir(settings.data_dir.absolute()))
    signing_keys(settings)
    lock = DataFolderLock(settings.data_dir)
    lock.acquire()
    printer.say(heading(celeriac.__version__, settings.data_dir, is_new=is_new))
    supervisor = Supervisor(printer.say)
    try:
        with supervisor.listening():
            around = Surroundings(
                settings=settings,
                environment=environment,
                project=project,
                folder=settings.up_dir,
            )
            Machine(
                around,
                supervisor,
                printer,
                began=began,
                has_reload=project.is_edited if has_reload is None else has_reload,
            ).run()
    finally:
        lock.release()


class Machine:
    """One machine with everything on it."""

    def __init__(
        self,
        around: Surroundings,
        supervisor: Supervisor,
        printer: Printer,
        *,
        began: float,
        has_reload: bool,
    ) -> None:
        self._around = around
        self._supervisor = supervisor
        self._printer = printer
        self._began = began
        self._has_reload = has_reload
        self._broker: EmbeddedBroker | None = None
        # Prepared before the service, which must know its place; None when another one was named.
        self._flower: Program | None = None
        self._ledger = LateLedger(around.settings.ledger_url)

    def run(self) -> None:
        """Start everything, keep it running, end it in order."""
        reloader: Reloader | None = None
        try:
            self._start_broker()
            if self._around.settings.host not in _LOOPBACK:
                self._check_open_host()
            reloader = self._create_reloader()
            url = self._start_worker_and_web()
            # While they import what they need.
            took = self._ledger.open()
            words = ledger_words(self._around.settings.ledger_url)
            self._printer.say(ready_line("ledger", words, took))
            self._supervisor.wait_until_ready()
            # Last: with it the service would be ready a third later on two processors.
            self._start_flower()
            self._supervisor.wait_until_ready()
            self._tell_ready(url)
            self._supervisor.run(lambda: None if reloader is None else reloader.turn())
        except StopRequestedError:
            pass
        finally:
            self._printer.say("  stopping: running tasks may finish; Ctrl-C again hurries them")
            if reloader is not None:
                reloader.close()
            self._supervisor.stop()
            if self._broker is not None:
                self._broker.forget()
            self._ledger.close()
            self._printer.say("  stopped")

    def _start_broker(self) -> None:
        settings = self._around.settings
        environment = self._around.environment
        if given("CELERIAC_BROKER_URL", environment):
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

    def _check_open_host(self) -> None:
        host = self._around.settings.host
        self._ledger.open()
        refuse_without_admin(host, self._ledger.list_users())
        open_to_all = f"listens on {host} without TLS: put a proxy with TLS before it"
        self._printer.say(warning_line("web", open_to_all))

    def _start_worker_and_web(self) -> str:
        settings = self._around.settings
        port = self._choose("web", settings.host, settings.port, "CELERIAC_PORT")
        worker = worker_program(self._around, list_workers=self._ledger.list_workers)
        web = web_program(
            self._around,
            host=settings.host,
            port=port,
            flower_url="" if settings.flower_url else self._prepare_flower(),
        )
        self._supervisor.start([worker, web])
        return web_url(settings.host, port)

    def _prepare_flower(self) -> str:
        wanted = self._around.settings.flower_port
        port = self._choose("flower", "127.0.0.1", wanted, "CELERIAC_FLOWER_PORT")
        password = obtain_secret(self._around.folder, FLOWER_PASSWORD_FILE)
        self._flower = flower_program(self._around, port=port, password=password)
        return flower_url(port, password)

    def _start_flower(self) -> None:
        if self._flower is not None:
            self._supervisor.start([self._flower])
            return
        shown = mask_url(self._around.settings.flower_url)
        self._printer.say(note_line("flower", f"{shown} (not ours)"))

    def _choose(self, name: str, host: str, wanted: int, variable: str) -> int:
        chosen = choose_port(host, wanted, variable=variable)
        if chosen.taken is not None:
            holder = str(chosen.holder or "another program")
            self._printer.say(
                taken_port_line(name, taken=chosen.taken, holder=holder, port=chosen.port)
            )
        return chosen.port

    def _tell_ready(self, url: str) -> None:
        data_dir = self._around.settings.data_dir
        self._ledger.keep_profile(data_dir, url=url)
        link = self._ledger.make_start_link()
        profile = read_profile(local_profile(data_dir))
        names = [] if profile is None else ask_task_names(url, key=profile.key)
        words = try_words(names)
        if names:
            self._printer.say(tasks_line(names))
        self._printer.say(
            *closing_lines(
                url=url,
                took=timedelta(seconds=time.monotonic() - self._began),
                flower=f"{url}/flower",
                logs=self._around.folder,
                grace=WORKER_GRACE,
                start_link="" if link is None else f"{url}/start/{link}",
                to_try=f"{command_word(own_checkout())} {words}" if words else "",
            )
        )


def ledger_words(url: str) -> str:
    """Return a ledger's URL as a person would say it."""
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:") else mask_url(url)


def environment_for(around: Surroundings, *, broker_url: str) -> dict[str, str]:
    """Return what the programs get: what we got, and where everything is."""
    return {
        **around.environment,
        **around.project.environment(),
        "CELERIAC_BROKER_URL": broker_url,
        "CELERIAC_DATA_DIR": str(around.settings.data_dir),
        # Lines are to be in the log when they are said.
        "PYTHONUNBUFFERED": "1",
    }


def broker_line(url: str) -> str:
    """Return the line about a broker that somebody else runs."""
    parts = urlsplit(url)
    shown = mask_url(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        return note_line("broker", f"{shown} (not ours)")
    if answers(parts.hostname, parts.port or _REDIS_PORT):
        return note_line("broker", f"{shown} (not ours)")
    return warning_line(
        "broker", f"{shown} does not answer; tasks wait in the ledger until it does"
    )


def refuse_memory_broker(url: str) -> None:
    """Refuse a broker that lives inside one process.

    Raises:
        SettingsError: It is one.
    """
    if urlsplit(url).scheme == "memory":
        allowed = "a broker that several processes can reach, or none to start one"
        raise SettingsError("CELERIAC_BROKER_URL", url, allowed)


def refuse_without_admin(host: str, users: Iterable[User]) -> None:
    """Refuse to listen for other machines while nobody could steer the service.

    Raises:
        SettingsError: There is no admin.
    """
    if not any(user.role is Role.ADMIN for user in users):
        allowed = "127.0.0.1, until `user add NAME --role admin` has made an admin"
        raise SettingsError("CELERIAC_HOST", host, allowed)
