"""The data folder and the secrets in it, made by whichever process comes first.

`uvicorn`, a worker, Flower and the command line may start in the same second, each in a process
of its own: all of them must end up with the same secret, and none may read half of one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from celeriac.errors import SettingsError
from celeriac.settings import Settings

LEAST_KEY_BYTES = 32
# Random bytes in a secret of our own making.
_SECRET_BYTES = 48
# Fewer different characters than this is no random key, however long it is.
_LEAST_DISTINCT = 8
# How long another process may take to write its secret where there are no hard links.
_PATIENCE_SECONDS = 2.0
_KEY_VARIABLE = "APP_SECRET_KEY"
_KEY_RULE = f"random keys of at least {LEAST_KEY_BYTES} bytes, with commas between them"

# What tutorials, templates and sample files put where a secret belongs; a key that holds one of
# these is known to everybody.
_WELL_KNOWN = (
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "changeme",
    "change-me",
    "change_me",
    "change-this",
    "change_this",
    "changethis",
    "django-insecure",
    "insecure",
    "my-secret",
    "my_secret",
    "mysecret",
    "placeholder",
    "secret-key",
    "secret_key",
    "secretkey",
    "super-secret",
    "super_secret",
    "supersecret",
    "todo",
    "your-256-bit-secret",
    "your-secret",
    "your_secret",
    "yoursecret",
    "0123456789abcdef0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyz",
)


def ensure_data_dir(folder: Path) -> Path:
    """Make the data folder, open to this user only, and return it.

    Raises:
        SettingsError: It cannot be made or is no folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise folder_refusal(folder, error) from error
    return folder


def folder_refusal(folder: Path, error: OSError) -> SettingsError:
    """Return how a data folder is refused in which nothing can be written, and why that is."""
    if folder.is_dir():
        why = error.strerror or "not writable"
    else:
        why = "this is a file" if folder.exists() else error.strerror or "not writable"
    allowed = f"a folder this user may write, with room in it ({why})"
    return SettingsError("CELERIAC_DATA_DIR", str(folder), allowed)


def obtain_secret(folder: Path, name: str) -> str:
    """Return a secret of the data folder, made now if nobody made it before.

    Args:
        folder: The data folder; made when it is missing.
        name: The file's name in it.

    Raises:
        SettingsError: The file can neither be read nor made, or holds no whole secret.
    """
    path = ensure_data_dir(folder) / name
    try:
        if not path.exists():
            _create(path)
        secret = _read(path)
    except OSError as error:
        allowed = f"a file in {folder} this user may write ({error.strerror or error})"
        raise SettingsError(name, "***", allowed) from error
    if len(secret.encode()) < LEAST_KEY_BYTES:
        raise SettingsError(name, "***", f"at least {LEAST_KEY_BYTES} bytes, or no such file")
    return secret


def signing_keys(settings: Settings) -> tuple[str, ...]:
    """Return the keys that tokens are signed with: the first signs, all are accepted.

    Raises:
        SettingsError: A key that was set is short or well known.
    """
    for key in settings.secret_keys:
        if is_weak_key(key):
            raise SettingsError(_KEY_VARIABLE, "***", _KEY_RULE)
    return settings.secret_keys or (obtain_secret(settings.data_dir, "secret.key"),)


def is_weak_key(key: str) -> bool:
    """Return whether a key is short, known to everybody, or plainly not random."""
    lowered = key.lower()
    return (
        len(key.encode()) < LEAST_KEY_BYTES
        or len(set(key)) < _LEAST_DISTINCT
        or any(known in lowered for known in _WELL_KNOWN)
    )


def _create(path: Path) -> None:
    """Write a new secret; when another process was first, leave that one."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        # No room on the disk, say: then there is no secret, and half of one stays nowhere.
        _write_new(draft, secret)
        _give_name(draft, path, secret)
    finally:
        draft.unlink(missing_ok=True)


def _give_name(draft: Path, path: Path, secret: str) -> None:
    try:
        # The name appears with the whole secret behind it, or not at all: whoever comes second
        # never reads a part.
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:
        # A file system without hard links. The reader waits until the secret is whole.
        with contextlib.suppress(FileExistsError):
            _write_new(path, secret)


def _write_new(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        text = path.read_text(encoding="ascii", errors="replace").strip()
        if len(text) >= LEAST_KEY_BYTES or time.monotonic() > deadline:
            return text
        time.sleep(0.01)
