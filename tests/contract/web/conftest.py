from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.web.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path) as service:
        yield service


@pytest.fixture
def ada(service: Service) -> httpx.Client:
    """A submitter."""
    return service.signed_in("ada")


@pytest.fixture
def stranger(service: Service) -> httpx.Client:
    """Somebody without a token."""
    return service.client()
