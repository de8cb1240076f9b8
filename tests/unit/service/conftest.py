from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from celeriac.ledger.open import Ledger
from celeriac.service.access import AccessService
from celeriac.service.passwords import Hasher
from celeriac.service.submitting import SubmitService
from celeriac.service.tasks import TaskService
from celeriac.service.tokens import Tokens
from tests.fakes import (
    Clock,
    ListedCatalogue,
    RecordingPublisher,
    RecordingWorkers,
    open_test_ledger,
    process_type,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = open_test_ledger(tmp_path, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def catalogue() -> ListedCatalogue:
    return ListedCatalogue(
        process_type(), process_type(name="report", title="Report", queue="reports")
    )


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
def workers() -> RecordingWorkers:
    return RecordingWorkers()


@pytest.fixture
def tasks(ledger: Ledger, workers: RecordingWorkers, clock: Clock) -> TaskService:
    return TaskService(ledger, workers, now=clock)


@pytest.fixture
def submitting(
    ledger: Ledger,
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    access: AccessService,
    clock: Clock,
) -> Iterator[SubmitService]:
    service = SubmitService(ledger, catalogue, publisher, access, now=clock)
    yield service
    service.close()


@pytest.fixture
def access(ledger: Ledger, hasher: Hasher, tokens: Tokens, clock: Clock) -> AccessService:
    return AccessService(ledger, hasher, tokens, now=clock)


@pytest.fixture(scope="session")
def hasher() -> Hasher:
    # Weak on purpose: what is tested with it is not the hash.
    return Hasher(memory_kib=64, passes=1)


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    key = "the-first-key-has-48-random-bytes-in-real-life-1"
    return Tokens([key], lifetime=timedelta(minutes=15), now=clock)
