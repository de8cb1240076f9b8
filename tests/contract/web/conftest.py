from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.web.service import Server, Service


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def service(tmp_path: Path, server: Server) -> Iterator[Service]:
    with Service(tmp_path, server) as service:
        yield service


@pytest.fixture
def ada(service: Service) -> httpx.Client:
    """A submitter."""
    return service.signed_in("ada")


@pytest.fixture
def stranger(service: Service) -> httpx.Client:
    """Somebody without a token."""
    return service.client()
