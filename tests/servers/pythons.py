"""The Pythons of this machine, and empty environments made with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_MANAGED = "~/.pyenv/versions/*/bin/python3.*", "~/.local/share/uv/python/*/bin/python3.*"
_NAME = re.compile(r"^python3\.(\d+)(\.exe)?$")


def newest_python() -> str:
    """Return the newest released Python of this machine that we support; at least our own."""
    found = {sys.version_info.minor: sys.executable}
    for path in _candidates():
        match = _NAME.match(path.name)
        if match and int(match[1]) > 11 and int(match[1]) not in found and _runs(path):
            found[int(match[1])] = str(path)
    return found[max(found)]


def make_environment(folder: Path, python: str) -> Path:
    """Make an empty environment and return its Python."""
    if _has_uv():
        _run("uv", "venv", "--quiet", "--python", python, str(folder))
    else:
        _run(python, "-m", "venv", str(folder))
    return folder / "bin" / "python"


def install(python: Path, *what: str) -> None:
    """Install packages into an environment from wherever this machine is told to get them."""
    if _has_uv():
        _run("uv", "pip", "install", "--quiet", "--python", str(python), *what)
    else:
        _run(str(python), "-m", "pip", "install", "--quiet", *what)


def _candidates() -> Iterator[Path]:
    for pattern in _MANAGED:
        yield from Path("/").glob(str(Path(pattern).expanduser()).lstrip("/"))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from Path(folder or ".").glob("python3.*")


def _runs(path: Path) -> bool:
    # A shim of a version manager may have nothing behind it; a preview has wheels of nobody.
    question = "import sys, venv; print(sys.version_info.releaselevel)"
    try:
        answer = subprocess.run(
            [path, "-c", question], capture_output=True, text=True, timeout=20, check=False
        )
    except OSError:
        return False
    return answer.stdout.strip() == "final"


def _has_uv() -> bool:
    uv = shutil.which("uv")
    # As above, a shim.
    return bool(uv) and subprocess.run(["uv", "--version"], capture_output=True).returncode == 0


def _run(*command: str) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
