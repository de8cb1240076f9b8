from __future__ import annotations

import pytest

from celeriac.core.user import Role
from celeriac.errors import NotPermittedError, QueueNotFoundError
from celeriac.ledger.open import Ledger
from celeriac.service.queues import QueueService
from tests.fakes import make_caller, make_new_task, make_new_worker

OPERATOR = make_caller("otto", Role.OPERATOR)
ADA = make_caller("ada")


@pytest.fixture
def queues(ledger: Ledger) -> QueueService:
    return QueueService(ledger)


def test_a_queue_is_paused_with_who_and_why_and_resumed(
    queues: QueueService, ledger: Ledger
) -> None:
    ledger.tasks.insert([make_new_task(queue="mail")])

    paused = queues.pause_queue("mail", "the provider is down", by=OPERATOR)
    again = queues.pause_queue("mail", "another reason", by=OPERATOR)
    resumed = queues.resume_queue("mail", by=OPERATOR)
    still = queues.resume_queue("mail", by=OPERATOR)

    assert paused.pause is not None
    assert (paused.pause.by, paused.pause.reason) == ("otto", "the provider is down")
    assert again == paused
    assert resumed.pause is None
    assert still == resumed
    assert [queue.name for queue in queues.list_queues(by=ADA)] == ["mail"]


def test_a_queue_without_a_task_may_be_paused_and_is_nothing_after_that(
    queues: QueueService,
) -> None:
    queues.pause_queue("later", "", by=OPERATOR)

    resumed = queues.resume_queue("later", by=OPERATOR)

    assert (resumed.name, resumed.queued, resumed.pause) == ("later", 0, None)
    with pytest.raises(QueueNotFoundError):
        queues.resume_queue("later", by=OPERATOR)


def test_a_submitter_pauses_and_resumes_nothing(queues: QueueService) -> None:
    with pytest.raises(NotPermittedError):
        queues.pause_queue("mail", "", by=ADA)
    with pytest.raises(NotPermittedError):
        queues.resume_queue("mail", by=ADA)


def test_a_queue_that_was_misspelled_is_known_by_those_that_are_served(
    queues: QueueService, ledger: Ledger
) -> None:
    ledger.leases.join(make_new_worker(queues=("reports", "default")))
    # what waits where nobody serves was misspelled before
    ledger.tasks.insert([make_new_task(queue="reprots")])

    def meant(name: str) -> tuple[str, ...]:
        return queues.meant_by(name, own=("newsletters",), by=ADA)

    assert meant("reprots") == ("reports",)
    assert meant("newsletter") == ("newsletters",)
    assert meant("nothing-like-it") == meant("reports") == meant("newsletters") == ()


def test_a_task_may_run_in_the_queue_that_was_meant_or_in_its_own_where_one_is_served(
    queues: QueueService, ledger: Ledger
) -> None:
    before = queues.served_instead_of("reprots", own="default", by=ADA)
    ledger.leases.join(make_new_worker(queues=("reports", "default")))

    assert before == ""
    assert queues.served_instead_of("reprots", own="default", by=ADA) == "reports"
    assert queues.served_instead_of("nowhere", own="default", by=ADA) == "default"
    assert queues.served_instead_of("nowhere", own="exports", by=ADA) == ""
    assert queues.served_instead_of("nowhere", own="nowhere", by=ADA) == ""
