"""What can be set from outside, read once per program from the environment.

Every setting is a field of `Settings`, whose text `setting_texts` reads; the environment variable
of each stands beside it in `docs/settings.md`, and a test compares the two. A secret one may stand
in a file instead, which `NAME_FILE` names: what is in the environment is seen by whoever may look
at the process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from celeriac import setting_texts as texts
from celeriac.errors import SettingsError
from celeriac.queue_names import QUEUE_RULE


def setting(
    variable: str, default: Any, *, parse: texts.Parse, allowed: str, is_secret: bool = False
) -> Any:
    """Return a dataclass field that is read from an environment variable."""
    metadata = {
        "variable": variable,
        "parse": parse,
        "allowed": allowed,
        "is_secret": is_secret,
    }
    return field(default=default, metadata=metadata)


def given(variable: str, environment: Mapping[str, str]) -> str:
    """Return what the environment says of a secret setting, itself or by a file; empty if nothing.

    Raises:
        SettingsError: A file is named and holds nothing that can be read.
    """
    text = environment.get(variable, "")
    file = environment.get(f"{variable}_FILE", "")
    if text or not file:
        return text
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        text = ""
    if not text:
        # Not as if nothing had been said: it would start on a default that nobody meant.
        raise SettingsError(f"{variable}_FILE", file, "a file with the value in it")
    return text


# Where another URL begins behind a semicolon, which a password may contain, too.
_NEXT_URL = re.compile(r";(?=[a-z]+://)")
_PASSWORD_OPTION = re.compile(r"((?:^|&)[a-z_]*password=)[^&]*")


def mask_url(url: str) -> str:
    """Return a URL, or several with semicolons between them, without passwords: fit for a log."""
    return ";".join(map(_mask_one, _NEXT_URL.split(url)))


def _mask_one(url: str) -> str:
    parts = urlsplit(url)
    shown = _PASSWORD_OPTION.sub(r"\1***", parts.query)
    if shown != parts.query:
        parts = parts._replace(query=shown)
        url = urlunsplit(parts)
    if not parts.password:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


def is_tasks_file(app: str) -> bool:
    """Return whether the name of an app is that of a file with tasks, not of a module."""
    return app.endswith(".py")


# The file's name in the folder of `up`.
BROKER_FILE = "broker.url"
# No setting: by this `up` tells a worker in which file to write down which code it runs.
CODE_FILE = "UP_CODE_FILE"
# Nor is this: in which file to write down which attempts went wrong.
TROUBLES_FILE = "UP_TROUBLES_FILE"
_DATABASES = ("sqlite", "postgresql", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one program of Celeriac shall run."""

    # The tasks that an installed Celeriac runs: MODULE:ATTRIBUTE of a Celery app, or a FILE.py.
    app: str = setting(
        "CELERIAC_APP", "", parse=str, allowed="MODULE:ATTRIBUTE of a Celery app, or a FILE.py"
    )
    # Where secrets, the embedded broker and the SQLite ledger live.
    data_dir: Path = setting(
        "CELERIAC_DATA_DIR", Path(".celeriac"), parse=Path, allowed="a folder this user may write"
    )
    # Where the ledger is; empty is `ledger.db` in the data folder.
    database_url: str = setting(
        "CELERIAC_DATABASE_URL",
        "",
        parse=texts.url(*_DATABASES),
        allowed="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
        is_secret=True,
    )
    broker_url: str = setting(
        "CELERIAC_BROKER_URL",
        "redis://localhost:6379",
        parse=texts.broker_url,
        allowed=(
            "a URL that begins with redis:// rediss:// sentinel:// (with ?master_name=NAME) "
            "amqp:// or memory://"
        ),
        is_secret=True,
    )
    # Keys that sign tokens, the first signs, all are accepted; empty is the one in the data folder.
    secret_keys: tuple[str, ...] = setting(
        "APP_SECRET_KEY",
        (),
        parse=texts.keys,
        allowed="one or more keys of at least 32 bytes, with commas between them",
        is_secret=True,
    )
    # Requests per caller and per address.
    rate_limit: str = setting(
        "CELERIAC_RATE_LIMIT",
        "100/minute",
        parse=texts.rate,
        allowed="COUNT/second, COUNT/minute, COUNT/hour or COUNT/day",
    )
    # Sign-ins per name and per address.
    login_limit: str = setting(
        "CELERIAC_LOGIN_LIMIT",
        "10/minute",
        parse=texts.rate,
        allowed="COUNT/second, COUNT/minute, COUNT/hour or COUNT/day",
    )
    # How many proxies in front of the service add to X-Forwarded-For.
    trusted_proxies: int = setting(
        "CELERIAC_TRUSTED_PROXIES",
        0,
        parse=texts.whole(0, 10),
        allowed="a whole number from 0 to 10",
    )
    access_token_lifetime: timedelta = setting(
        "CELERIAC_ACCESS_TOKEN_SECONDS",
        timedelta(minutes=15),
        parse=texts.seconds,
        allowed="seconds, 0 or more",
    )
    # How long a browser stays signed in.
    session_lifetime: timedelta = setting(
        "CELERIAC_SESSION_SECONDS",
        timedelta(hours=12),
        parse=texts.seconds,
        allowed="seconds, 0 or more",
    )
    # The largest JSON body of a request.
    max_body_bytes: int = setting(
        "CELERIAC_MAX_BODY_BYTES",
        1024 * 1024,
        parse=texts.whole(1024, 1024**3),
        allowed="bytes, from 1024 to 1073741824",
    )
    # The largest body of a batch.
    max_batch_bytes: int = setting(
        "CELERIAC_MAX_BATCH_BYTES",
        8 * 1024 * 1024,
        parse=texts.whole(1024, 1024**3),
        allowed="bytes, from 1024 to 1073741824",
    )
    # All the files of one request together.
    max_upload_bytes: int = setting(
        "CELERIAC_MAX_UPLOAD_BYTES",
        20 * 1024 * 1024,
        parse=texts.whole(1024, 1024**4),
        allowed="bytes, from 1024 to 1099511627776",
    )
    # Where files that tasks take and give back are kept; None is `files` in the data folder.
    files_dir: Path | None = setting(
        "CELERIAC_FILES_DIR",
        None,
        parse=Path,
        allowed="a folder that the service and every worker may write",
    )
    # How many submitted tasks may wait to be written before more are refused; for each 16 KiB of
    # arguments one counts as one more.
    accept_queue: int = setting(
        "CELERIAC_ACCEPT_QUEUE",
        5000,
        parse=texts.whole(1, 10**6),
        allowed="a whole number from 1 to 1000000",
    )
    host: str = setting(
        "CELERIAC_HOST", "127.0.0.1", parse=str, allowed="an address of this machine"
    )
    port: int = setting(
        "CELERIAC_PORT", 8000, parse=texts.whole(0, 65535), allowed="a port from 0 to 65535"
    )
    flower_port: int = setting(
        "CELERIAC_FLOWER_PORT", 5555, parse=texts.whole(0, 65535), allowed="a port from 0 to 65535"
    )
    # Where Flower listens, with its user and password; empty when there is none. `up` sets it.
    flower_url: str = setting(
        "CELERIAC_FLOWER_URL",
        "",
        parse=texts.flower_url,
        allowed="http://USER:PASSWORD@HOST:PORT of a Flower that runs with --url-prefix=flower",
        is_secret=True,
    )
    # Task processes of the worker that `up` starts.
    concurrency: int = setting(
        "CELERIAC_CONCURRENCY", 2, parse=texts.whole(1, 512), allowed="a whole number from 1 to 512"
    )
    # Async tasks at a time in one process of a worker.
    async_slots: int = setting(
        "CELERIAC_ASYNC_SLOTS",
        100,
        parse=texts.whole(1, 10_000),
        allowed="a whole number from 1 to 10000",
    )
    # Queues of the worker that `up` starts.
    queues: tuple[str, ...] = setting(
        "CELERIAC_QUEUES",
        ("default", "high_priority"),
        parse=texts.queue_names,
        allowed=f"names with commas between them, each {QUEUE_RULE}",
    )
    # How long a worker's heartbeat may stand still before its tasks are given to others.
    lease: timedelta = setting(
        "CELERIAC_LEASE_SECONDS",
        timedelta(seconds=15),
        parse=texts.lease_seconds,
        allowed="seconds, 1 or more",
    )
    # How long a queued task waits before its doorbell is rung again; doubles up to ten minutes.
    ring_again: timedelta = setting(
        "CELERIAC_RING_AGAIN_SECONDS",
        timedelta(seconds=30),
        parse=texts.seconds,
        allowed="seconds, 0 or more",
    )
    # How long Celery's own copy of a result stays in the broker for plain Celery clients.
    result_cache: timedelta = setting(
        "CELERIAC_RESULT_CACHE_SECONDS",
        timedelta(minutes=10),
        parse=texts.seconds,
        allowed="seconds, 0 or more",
    )
    # How long the sample task `process` takes.
    process_duration: timedelta = setting(
        "CELERIAC_PROCESS_SECONDS",
        timedelta(seconds=5),
        parse=texts.seconds,
        allowed="seconds, 0 or more",
    )
    # Whether the sample tasks are there.
    samples: bool = setting(
        "CELERIAC_SAMPLES", default=True, parse=texts.switch, allowed="on or off"
    )
    log_level: str = setting(
        "CELERIAC_LOG_LEVEL",
        "info",
        parse=texts.one_of("debug", "info", "warning", "error"),
        allowed="debug, info, warning or error",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read every setting that is set; an empty variable counts as not set.

        Raises:
            SettingsError: A value, or the file that holds it, cannot be read; a secret is masked.
        """
        environment = os.environ if environment is None else environment
        found: dict[str, Any] = {}
        for each in fields(cls):
            facts = each.metadata
            variable = facts["variable"]
            is_secret = facts["is_secret"]
            text = given(variable, environment) if is_secret else environment.get(variable, "")
            if not text:
                continue
            try:
                found[each.name] = facts["parse"](text)
            except ValueError:
                shown = "***" if is_secret else text
                raise SettingsError(variable, shown, facts["allowed"]) from None
        return cls(**found)

    @property
    def ledger_url(self) -> str:
        """The connection string of the ledger, whether set or not."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'ledger.db').absolute()}"

    @property
    def ledger_file(self) -> Path | None:
        """The file of the ledger; None when it is a server's."""
        scheme, _, file = self.ledger_url.partition(":///")
        return Path(file.partition("?")[0]) if scheme == "sqlite" else None

    @property
    def up_dir(self) -> Path:
        """Where `up` keeps what it knows of its programs, and their logs."""
        return self.data_dir / "up"

    @property
    def broker_file(self) -> Path:
        """Where `up` writes the URL of the broker that it runs, for programs beside it."""
        return self.up_dir / BROKER_FILE

    @property
    def files_folder(self) -> Path:
        """Where files are kept, whether set or not."""
        return (self.files_dir or self.data_dir / "files").absolute()
