"""The service as `main.py` composes it, on a real engine."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from celeriac.core.user import Role
from celeriac.ledger.open import open_ledger
from celeriac.service.passwords import Hasher
from celeriac.service.secrets import ensure_data_dir
from celeriac.service.users import UserService
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import PASSWORD
from tests.servers.ports import answers, free_port
from tests.servers.processes import PROJECT, clean_environment
from tests.servers.services import ServiceProcess


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("composed")
    environment = {
        "CELERIAC_DATA_DIR": str(folder / "data"),
        # Nobody listens there.
        "CELERIAC_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CELERIAC_RATE_LIMIT": "10000/second",
    }
    ledger = open_ledger(f"sqlite:///{ensure_data_dir(folder / 'data') / 'ledger.db'}")
    UserService(ledger, Hasher()).add_user("ada", PASSWORD, role=Role.SUBMITTER)
    ledger.close()
    with ServiceProcess(folder=folder, environment=environment) as service:
        service.wait_until(service.is_ready, "it is ready")
        with httpx.Client(base_url=service.url, timeout=20, trust_env=False) as client:
            sign_in(client)
            yield client


def sign_in(client: httpx.Client) -> None:
    answer = client.post("/token", data={"username": "ada", "password": PASSWORD}).json()
    client.headers["Authorization"] = f"Bearer {answer['access_token']}"


def test_a_task_is_accepted_although_the_broker_is_away(client: httpx.Client) -> None:
    accepted = client.post("/tasks/process", json={"data": "example data"})

    assert accepted.status_code == 202
    read = client.get(accepted.headers["location"]).json()
    assert (read["status"], read["state"], read["name"]) == ("pending", "queued", "process")


def test_the_samples_are_described_and_checked_by_their_hints(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    response = client.post("/tasks/process", json={"data": 7, "more": 1})

    assert "/tasks/process" in paths
    assert "/tasks/text.wordcount" in paths
    problem = assert_problem(response, 422, "invalid_arguments")
    assert set(pointers(problem)) == {"/data", "/more"}


def test_the_service_starts_and_says_so_while_the_ledger_is_away(tmp_path: Path) -> None:
    environment = {
        "CELERIAC_DATA_DIR": str(tmp_path / "data"),
        "CELERIAC_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CELERIAC_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{free_port()}/nothing",
    }
    with ServiceProcess(folder=tmp_path, environment=environment) as service:
        service.wait_until(lambda: answers(service.port), "it listens")

        alive = httpx.get(f"{service.url}/healthz", timeout=20)
        ready = httpx.get(f"{service.url}/readyz", timeout=20)

    assert alive.status_code == 200
    assert_problem(ready, 503, "ledger_unavailable")
    # Secrets are made at the first start, whatever else is away.
    assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("APP_SECRET_KEY", "short", "APP_SECRET_KEY is '***'; allowed: "),
        ("APP_SECRET_KEY", "changeme" * 8, "APP_SECRET_KEY is '***'; allowed: "),
        ("CELERIAC_RATE_LIMIT", "often", "CELERIAC_RATE_LIMIT is 'often'; allowed: COUNT/second"),
    ],
)
def test_a_broken_setting_ends_the_start_with_one_sentence(
    tmp_path: Path, variable: str, value: str, shown: str
) -> None:
    environment = clean_environment({"CELERIAC_DATA_DIR": str(tmp_path), variable: value})

    done = subprocess.run(
        [sys.executable, "-c", "import main"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith(shown)
    assert done.stderr.count("\n") == 1
    assert value not in done.stderr or variable != "APP_SECRET_KEY"
    assert not list(tmp_path.iterdir())
