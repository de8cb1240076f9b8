"""The service that a command asks: which one, and as whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.starting import wait_for_profile, wait_while_starting
from celeriac.errors import AnotherProgramError, NotSignedInError, ServiceUnreachableError
from celeriac.service.profiles import Profile, local_profile, read_profile, user_profile
from celeriac.settings import Settings
from celeriac.up.lock import is_held
from celeriac.up.report import printable
from celeriac.wording import as_typed_here

if TYPE_CHECKING:
    # A library of another room, imported when the first command asks.
    from celeriac.client import Client

Options = Mapping[str, str | None]

_KEY_FIX = "give one with --key or CELERIAC_KEY; celeriac key create LABEL --user NAME makes one"


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name its service."""
    key = click.option("--key", metavar="KEY", help="An API key or a token.  [CELERIAC_KEY]")
    url = click.option("--url", metavar="URL", help="Where the service is.  [CELERIAC_URL]")
    return url(key(command))


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API has it.")(
        command
    )


def quiet_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return `-q`, with what it leaves."""
    return click.option("-q", "--quiet", "is_quiet", is_flag=True, help=text)


def find_profile(options: Options, environment: Mapping[str, str]) -> Profile:
    """Return the service to ask: options first, then the environment, then a profile.

    Raises:
        NotSignedInError: Nothing names a service, or no key goes with it.
        SettingsError: A profile is broken.
    """
    url = options.get("url") or environment.get("CELERIAC_URL")
    key = options.get("key") or environment.get("CELERIAC_KEY")
    if url and key:
        return Profile(url=url, key=key)
    here = local_profile(data_dir_of(environment))
    for path in (here, user_profile(environment)):
        found = read_profile(path)
        # A key is shown only to the service that it was made for.
        if found is not None and (key or not url or url.rstrip("/") == found.url.rstrip("/")):
            return Profile(url=url or found.url, key=key or found.key)
    if url:
        raise NotSignedInError(f"no key goes with it: {url}", fix=_KEY_FIX)
    raise NotSignedInError(
        f"no service is named: CELERIAC_URL is not set, and nothing was started here: no {here}"
    )


def data_dir_of(environment: Mapping[str, str]) -> Path:
    """Return the data folder of this machine."""
    return Path(environment.get("CELERIAC_DATA_DIR") or Settings().data_dir)


@contextmanager
def client_of(options: Options) -> Iterator[Client]:
    """Open the client that options, environment or a profile ask for.

    Raises:
        NotSignedInError: Nothing names a service, or no key goes with it.
    """
    from celeriac.client import Client

    data_dir = data_dir_of(os.environ)
    try:
        profile = find_profile(options, os.environ)
    except NotSignedInError:
        wait_for_profile(local_profile(data_dir), data_dir, say=say)
        profile = find_profile(options, os.environ)
    is_local = profile == read_profile(local_profile(data_dir))
    if is_local:
        wait_while_starting(profile.url, data_dir, say=say)
    with Client(profile.url, profile.key) as client:
        try:
            yield client
        except AnotherProgramError:
            raise
        except ServiceUnreachableError as error:
            # Here more is known than in a script.
            error.fix = fix_of_silence(is_local=is_local, data_dir=data_dir)
            raise


def fix_of_silence(*, is_local: bool, data_dir: Path) -> str:
    """Return what helps against a service that gives no answer.

    Args:
        is_local: Whether it is the one whose profile lies in the data folder.
        data_dir: That folder.
    """
    if not is_local:
        return "see that it runs there; --url or CELERIAC_URL names another"
    if is_held(data_dir):
        return f"it runs and does not answer: read {data_dir / 'up' / 'web.log'}"
    return "`celeriac up` starts it"


def is_one_screen() -> bool:
    """Return whether talk and data come to the eyes of one person."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def say(*lines: str) -> None:
    """Tell the person at the terminal."""
    for line in lines:
        sys.stderr.write(f"{printable(as_typed_here(line))}\n")
    sys.stderr.flush()


def keep_quiet(*_lines: str) -> None:
    """Tell the person at the terminal nothing, who asked for that."""


def hand_out(*lines: str) -> None:
    """Print data: as it is for a program, without what would steer it for a terminal."""
    is_for_people = sys.stdout.isatty()
    for line in lines:
        sys.stdout.write(f"{printable(line) if is_for_people else line}\n")
    sys.stdout.flush()
