"""Where the command line finds its service: a small file that only its user may read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from celeriac.errors import SettingsError

_NAME = "profile.json"
_ALLOWED = 'a JSON object {"url": …, "key": …}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A service, and the key by which it knows us."""

    url: str
    key: str = field(repr=False)


def local_profile(data_dir: Path) -> Path:
    """Return the profile that `up` writes for its own machine."""
    return data_dir / _NAME


def user_profile(environment: Mapping[str, str]) -> Path:
    """Return the profile of this user, for a service on another machine."""
    base = environment.get("XDG_CONFIG_HOME") or environment.get("APPDATA")
    folder = Path(base) if base else Path.home() / ".config"
    return folder / "celeriac" / _NAME


def read_profile(path: Path) -> Profile | None:
    """Return what a profile says, None when there is none.

    Raises:
        SettingsError: It is broken.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Profile(url=str(facts["url"]), key=str(facts["key"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(str(path), "***", _ALLOWED) from None


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile, readable by this user only, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(profile), indent=2) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
