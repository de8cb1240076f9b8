"""The contenders' own environments: made at their first use, kept for later ones.

Each holds pinned versions, so that two runs of the benchmark meet the same contenders.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import run
from tests.servers.processes import PROJECT

FOLDER = PROJECT / "benchmarks" / "results" / "environments"


class MissingProgramError(Exception):
    """A contender needs a program that this machine has not got."""


def python_with(*packages: str) -> Path:
    """Return the programs' folder of a Python environment that holds these packages alone."""
    folder = _folder("python", (sys.version, *packages))
    programs = folder / "bin"
    if (folder / "complete").exists():
        return programs
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = str(programs / "python")
    uv = shutil.which("uv")
    if uv and subprocess.run([uv, "--version"], capture_output=True, check=False).returncode == 0:  # noqa: S603 - found on the PATH
        _run(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *packages)
    else:
        pip = (run.python_with_pip(), "-m", "pip", "--python", python)
        _run(*pip, "install", "--quiet", *packages)
    (folder / "complete").touch()
    return programs


def node_with(*packages: str) -> Path:
    """Return the folder of Node.js modules that holds these packages.

    Raises:
        MissingProgramError: There is no Node.js, or no npm.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise MissingProgramError("Node.js with npm is not installed")
    folder = _folder("node", packages)
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options = ("--no-save", "--no-audit", "--no-fund", "--loglevel=error")
        _run(npm, "install", *options, f"--prefix={folder}", *packages)
        (folder / "complete").touch()
    return folder / "node_modules"


def _folder(kind: str, facts: tuple[str, ...]) -> Path:
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
    return FOLDER / f"{kind}-{digest}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": ""})  # noqa: S603 - ours
