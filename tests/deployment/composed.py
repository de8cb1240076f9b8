"""A service of `deploy/compose.yaml`, run as it stands there, without Docker around it.

The command, the environment and the health check are the file's own, letter by letter. What a
container would give is stood in for: `/run/secrets` and `/data` are folders of the test's, the
names of other services and the ports are this machine's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.servers.processes import PROJECT, Process, clean_environment

COMPOSE = PROJECT / "deploy" / "compose.yaml"
DOCKERFILE = PROJECT / "deploy" / "Dockerfile"

Yaml = Any


def compose() -> dict[str, Yaml]:
    """Return the file, its anchors resolved."""
    found: dict[str, Yaml] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return found


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions in order: each word and what stands behind it."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def image_command() -> list[str]:
    """Return the command of the image, for a service that names none."""
    (command,) = [rest for word, rest in instructions() if word == "CMD"]
    found: list[str] = yaml.safe_load(command)
    return found


class Container(Process):
    """One service of the file in a folder that holds what the image would."""

    def __init__(self, name: str, *, folder: Path, app: Path, replaced: Mapping[str, str]) -> None:
        self.service = compose()["services"][name]
        self._replaced = replaced
        command = [self._here(word) for word in self.service.get("command") or image_command()]
        stated = {
            variable: self._here(_default(str(text)))
            for variable, text in self.service.get("environment", {}).items()
        }
        environment = clean_environment(
            {
                **stated,
                "PATH": f"{Path(sys.executable).parent}:{app / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(app),
                "CELERIAC_DATA_DIR": str(folder / "data"),
                "HOSTNAME": os.uname().nodename,
            }
        )
        super().__init__(command, log=folder / f"{name}.log", environment=environment, folder=app)

    def run(self, command: list[str], *, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, as `docker compose exec` does."""
        return subprocess.run(
            [self._here(word) for word in command],
            cwd=self.folder,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def is_healthy(self) -> bool:
        """Ask its own health check."""
        test = (self.service.get("healthcheck") or {"test": _image_check()})["test"]
        command = ["/bin/sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
        return self.run(command).returncode == 0

    def _here(self, text: str) -> str:
        for there, here in self._replaced.items():
            text = text.replace(there, here)
        return text.replace("$$", "$")


def _image_check() -> list[str]:
    (check,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    return ["CMD", *yaml.safe_load(check.partition("CMD ")[2])]


def _default(text: str) -> str:
    """Return what `${NAME:-default}` is when nobody set it."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
