"""The services of `deploy/compose.yaml`, each by its own words, on real servers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.deployment.composed import Container, compose, instructions
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.processes import PROJECT, Process, clean_environment, wait_until
from tests.servers.valkey import valkey_binary

PASSWORD = "four walnut umbrellas dancing"
OURS = ("api", "worker", "flower")


class Stack:
    """Everything that the file starts."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.folder = folder
        self.app = make_image(folder / "app")
        self.secrets = folder / "secrets"
        self.broker_port = free_port()
        self.ports = {"8000": free_port(), "5555": free_port()}
        make_secrets(
            self.secrets,
            "--database",
            f"127.0.0.1:{postgres.port}",
            "--broker",
            f"127.0.0.1:{self.broker_port}",
            "--flower",
            f"127.0.0.1:{self.ports['5555']}",
        )
        make_database(postgres, (self.secrets / "database_url").read_text().strip())
        self.broker = self.container("valkey")
        self.broker.command = (
            *(str(valkey_binary()), *self.broker.command[1:]),
            *("--port", str(self.broker_port), "--bind", "127.0.0.1", "--dir", str(folder)),
        )
        self.ours = {name: self.container(name) for name in OURS}
        self.url = f"http://127.0.0.1:{self.ports['8000']}"

    def container(self, name: str) -> Container:
        replaced = {
            "/run/secrets/": f"{self.secrets}/",
            "0.0.0.0": "127.0.0.1",
            **{there: str(here) for there, here in self.ports.items()},
        }
        return Container(name, folder=self.folder, app=self.app, replaced=replaced)

    def processes(self) -> list[Process]:
        return [self.broker, *self.ours.values()]


def make_image(app: Path) -> Path:
    """Copy into a folder what the image copies, and nothing else."""
    app.mkdir()
    (app / "bin").mkdir()
    for word, rest in instructions():
        parts = [part for part in rest.split() if not part.startswith("--")]
        if word != "COPY" or "--from=" in rest or parts[-1].startswith("/requirements"):
            continue
        found = [each for pattern in parts[:-1] for each in PROJECT.glob(pattern)]
        for source in found:
            target = app / ("bin" if parts[-1].startswith("/usr/local/bin") else "")
            if source.is_dir():
                shutil.copytree(
                    source,
                    target / parts[-1],
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
            else:
                shutil.copy(source, target)
    return app


def make_secrets(*words: object) -> None:
    command = [sys.executable, str(PROJECT / "deploy" / "make_secrets.py"), *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)


def make_database(postgres: PostgresServer, url: str) -> None:
    """Make the role and the database as the image of PostgreSQL does at its first start."""
    named = compose()["services"]["postgres"]["environment"]
    parts = urlsplit(url)
    assert (parts.username, parts.path) == (named["POSTGRES_USER"], f"/{named['POSTGRES_DB']}")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {parts.username} LOGIN PASSWORD '{parts.password}'")
        connection.execute(f"CREATE DATABASE {parts.path[1:]} OWNER {parts.username}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All of it, started in the file's order, healthy by the file's own checks."""
    with PostgresServer() as postgres:
        stack = Stack(tmp_path_factory.mktemp("compose"), postgres)
        try:
            for each in stack.processes():
                each.start()
            for name in OURS:
                container = stack.ours[name]
                container.wait_until(container.is_healthy, "it is healthy", seconds=90)
            yield stack
        finally:
            for each in reversed(stack.processes()):
                each.stop()


def test_an_admin_is_made_and_a_task_runs(stack: Stack) -> None:
    add = ["celeriac", "user", "add", "ana", "--role", "admin", "--password-stdin"]
    added = stack.ours["api"].run(add, given=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stderr
    form = {"username": "ana", "password": PASSWORD}
    with httpx.Client(base_url=stack.url) as client:
        token = client.post("/token", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"

        task = client.post("/tasks/text.wordcount", json={"text": "one two two"})

        where = task.headers["location"]
        wait_until(lambda: client.get(where).json()["status"] != "pending", "it has ended")
        assert client.get(where).json()["result"]["words"] == 3


def test_the_broker_throws_nothing_away(stack: Stack) -> None:
    broker_url = (stack.secrets / "broker_url").read_text().strip()

    checked = stack.ours["api"].run(["celeriac", "doctor", "--broker-url", broker_url])

    assert "maxmemory-policy is noeviction" in checked.stdout


def test_a_worker_that_is_gone_is_not_healthy(stack: Stack) -> None:
    worker = stack.ours["worker"]
    worker.stop()

    assert not worker.is_healthy()

    worker.start()
    worker.wait_until(worker.is_healthy, "it is healthy", seconds=90)


def test_no_secret_stands_in_a_command_line_or_an_environment(stack: Stack) -> None:
    secrets = {
        word
        for file in stack.secrets.iterdir()
        for word in re.findall(r"[\w-]{32,}", file.read_text())
    }
    assert len(secrets) == 4

    for name in ("api", "worker"):
        pid = stack.ours[name].pid
        seen = Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
        assert not any(secret in seen for secret in secrets), name
    flower = Path(f"/proc/{stack.ours['flower'].pid}/cmdline").read_text()
    assert not any(secret in flower for secret in secrets)


def test_the_service_shows_flower_to_whoever_is_signed_in(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, follow_redirects=True) as browser:
        form = browser.get("/ui/sign-in").text
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
        browser.post("/ui/sign-in", data={**hidden, "name": "ana", "password": PASSWORD})

        workers = browser.get("/flower/workers")

    assert workers.status_code == 200
    assert "worker@" in workers.text


def test_flower_asks_for_its_password(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.ports['5555']}/flower/workers"
    name, _, password = (stack.secrets / "flower_auth").read_text().strip().partition(":")

    assert httpx.get(url).status_code == 401
    assert httpx.get(url, auth=(name, password)).status_code == 200


@pytest.mark.parametrize("name", OURS)
def test_without_its_secrets_nothing_of_ours_starts(
    name: str, stack: Stack, tmp_path: Path
) -> None:
    container = Container(name, folder=tmp_path, app=stack.app, replaced={"/run/secrets/": "/no/"})

    started = subprocess.run(
        container.command,
        cwd=stack.app,
        env=container.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert started.returncode != 0
    assert "_FILE is '/no/" in started.stderr, started.stderr


def test_what_the_image_copies_is_enough_to_run(tmp_path: Path) -> None:
    app = make_image(tmp_path / "app")
    environment = clean_environment({"PYTHONPATH": str(app), "CELERIAC_DATA_DIR": str(tmp_path)})

    done = subprocess.run(
        [sys.executable, "-c", "import main, celeriac; print(celeriac.__file__)"],
        cwd=app,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == str(app / "celeriac" / "__init__.py"), done.stderr
