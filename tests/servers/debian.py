"""Programs of the system's own packages, installed once where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess

# Where servers are that are not on everybody's PATH.
_FOLDERS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find_program(*names: str, package: str) -> str:
    """Return the path of the first of some programs that is there.

    Args:
        names: What the program may be called.
        package: The Debian package that has it, installed when none is there.

    Raises:
        AssertionError: There is none and it cannot be installed here; says what helps.
    """
    install = ("apt-get", "install", "-y", "--no-install-recommends", package)
    found = _look(names)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(("apt-get", "update"), check=False, capture_output=True)
        subprocess.run(install, check=False, capture_output=True, env=quiet)
        found = _look(names)
    assert found, f"there is no {names[0]}: {' '.join(install)} (as root)"
    return found


def _look(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name, path=_FOLDERS))), None)
