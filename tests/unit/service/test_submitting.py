from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.acceptance import Accepted, Submission, TaskOutcome
from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskId
from celeriac.core.user import Role
from celeriac.errors import (
    AcceptQueueFullError,
    CeleriacError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InvalidArgumentsError,
    InvalidBatchError,
    InvalidOptionError,
    LedgerUnavailableError,
    NotAuthenticatedError,
    NotPermittedError,
    TaskIdTakenError,
    TaskNameNotFoundError,
)
from celeriac.ledger.line import WritersLine
from celeriac.ledger.open import Ledger
from celeriac.service.access import AccessService
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.service.submitting import Once, SubmitService
from tests.fakes import (
    NOON,
    AwayLedger,
    Clock,
    ListedCatalogue,
    RecordingPublisher,
    make_caller,
    make_new_task,
)
from tests.servers.processes import wait_until

ADA = make_caller("ada")
EVE = make_caller("eve")
VIEWER = make_caller("vera", Role.VIEWER)


def wish(name: str = "process", data: object = "x", **options: Any) -> SubmitRequest:
    return SubmitRequest(name=name, kwargs={"data": data}, options=SubmitOptions(**options))


def kept(ledger: Ledger) -> list[TaskId]:
    return [task.id for task in ledger.tasks.list(TaskFilter(), after=None, limit=200).items]


def test_a_submitted_task_is_kept_and_rung_for(
    submitting: SubmitService, ledger: Ledger, publisher: RecordingPublisher
) -> None:
    report = submitting.submit(wish(), by=ADA)

    kept = ledger.tasks.get(report.task.id)
    assert kept == report.task
    assert (kept.state, kept.submitted_by, kept.queue) == (TaskState.QUEUED, "ada", "default")
    assert kept.arguments.text == '[[], {"data": "x"}]'
    assert publisher.wait_for(1) == [kept.id]


def test_a_task_goes_to_the_queue_that_was_named_or_to_its_own(submitting: SubmitService) -> None:
    own = submitting.submit(wish("report"), by=ADA)
    named = submitting.submit(wish("report", queue="default"), by=ADA)

    assert own.task.queue == "reports"
    assert named.task.queue == "default"


def test_a_task_for_later_is_not_rung_for_yet(
    submitting: SubmitService, publisher: RecordingPublisher
) -> None:
    report = submitting.submit(wish(delay=timedelta(hours=1)), by=ADA)

    assert report.task.state is TaskState.SCHEDULED
    assert report.task.not_before == NOON + timedelta(hours=1)
    assert report.waiting_because == "scheduled"
    assert publisher.rung == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (wish("nothing.of.this.name"), TaskNameNotFoundError),
        (wish(data=3), InvalidArgumentsError),
        (wish(priority=10), InvalidOptionError),
    ],
)
def test_nothing_is_kept_of_what_makes_no_sense(
    submitting: SubmitService, ledger: Ledger, request_: SubmitRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        submitting.submit(request_, by=ADA)

    assert ledger.tasks.list(TaskFilter(), after=None, limit=1).items == ()


def test_a_viewer_submits_nothing(submitting: SubmitService, ledger: Ledger) -> None:
    with pytest.raises(NotPermittedError):
        submitting.submit(wish(), by=VIEWER)

    assert kept(ledger) == []


def test_nothing_is_accepted_or_rung_for_while_the_ledger_is_away(
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    access: AccessService,
    clock: Clock,
) -> None:
    submitting = SubmitService(AwayLedger(), catalogue, publisher, access, now=clock)

    with pytest.raises(LedgerUnavailableError):
        submitting.submit(wish(), by=ADA)
    submitting.close()

    assert publisher.rung == []


class SlowLedger:
    """A ledger whose disk takes as long as the test says."""

    def __init__(self, ledger: Ledger) -> None:
        self.tasks = ledger.tasks
        self._ledger = ledger
        self.sizes: list[int] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    @property
    def submissions(self) -> SlowLedger:
        return self

    def accept(self, submissions: Sequence[Submission], seen: Any, _late: Any) -> Sequence[Any]:
        self.sizes.append(len(submissions))
        self.began.release()
        assert self.gate.acquire(timeout=20)
        return self._ledger.submissions.accept(submissions, seen)


@pytest.fixture
def slow(ledger: Ledger) -> SlowLedger:
    return SlowLedger(ledger)


@pytest.fixture
def slowly(
    slow: SlowLedger,
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    access: AccessService,
    clock: Clock,
) -> Iterator[SubmitService]:
    service = SubmitService(slow, catalogue, publisher, access, now=clock, room=300)
    yield service
    slow.gate.release(100)
    service.close()


def begin_one(slowly: SubmitService, slow: SlowLedger) -> Future[Accepted]:
    first = slowly.submit_soon(wish(), by=ADA)
    assert slow.began.acquire(timeout=20)
    return first


def only(future: Future[Accepted]) -> TaskOutcome:
    (outcome,) = future.result(timeout=20).outcomes
    return outcome


def test_what_comes_at_the_same_time_shares_a_transaction(
    slowly: SubmitService, slow: SlowLedger, publisher: RecordingPublisher
) -> None:
    first = begin_one(slowly, slow)
    others = [slowly.submit_soon(wish(), by=ADA) for _ in range(299)]
    slow.gate.release(9)

    outcomes = [only(each) for each in (first, *others)]

    assert all(isinstance(outcome, Task) for outcome in outcomes)
    assert slow.sizes == [1, 256, 43]
    assert len(publisher.wait_for(300)) == 300


class WatchedLedger:
    """A ledger that notes of how many submissions each transaction was, before and after."""

    def __init__(self, ledger: Ledger) -> None:
        self.tasks = ledger.tasks
        self._ledger = ledger
        self.sizes: list[tuple[int, int]] = []

    @property
    def submissions(self) -> WatchedLedger:
        return self

    def accept(self, submissions: Sequence[Submission], seen: Any, late: Any) -> Sequence[Any]:
        answers = self._ledger.submissions.accept(submissions, seen, late)
        self.sizes.append((len(submissions), len(answers)))
        return answers


def test_what_comes_while_a_transaction_waits_for_its_turn_is_written_by_it(
    ledger: Ledger,
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    access: AccessService,
    clock: Clock,
) -> None:
    watched = WatchedLedger(ledger)
    service = SubmitService(watched, catalogue, publisher, access, now=clock, room=300)
    database = ledger._database
    assert database.file is not None
    line = WritersLine(database.file)

    with line.turn(timeout_seconds=20):
        first = service.submit_soon(wish(), by=ADA)
        wait_until(line._first.is_taken, "it waits for its turn", pause=0.005)
        bad = service.submit_soon(wish(data=7), by=ADA)
        others = [service.submit_soon(wish(), by=ADA) for _ in range(3)]

    assert all(isinstance(only(each), Task) for each in (first, *others))
    with pytest.raises(InvalidArgumentsError):
        bad.result(timeout=20)
    assert watched.sizes == [(1, 4)]
    assert len(publisher.wait_for(4)) == 4
    service.close()
    line.close()


def test_a_full_queue_refuses_at_once_and_nothing_of_it_is_kept(
    slowly: SubmitService, slow: SlowLedger, ledger: Ledger
) -> None:
    begin_one(slowly, slow)
    waiting = [slowly.submit_soon(wish(), by=ADA) for _ in range(300)]

    with pytest.raises(AcceptQueueFullError):
        slowly.submit_soon(wish("report"), by=ADA)
    slow.gate.release(9)

    assert all(isinstance(only(each), Task) for each in waiting)
    assert not ledger.tasks.list(TaskFilter(name="report"), after=None, limit=1).items


def test_a_queue_is_full_of_a_few_large_tasks_too(
    slowly: SubmitService, slow: SlowLedger, ledger: Ledger
) -> None:
    begin_one(slowly, slow)
    large = replace(wish(data="x" * 1_500_000), size_bytes=1_500_000)
    waiting = [slowly.submit_soon(large, by=ADA) for _ in range(2)]
    waiting.append(slowly.submit_batch_soon([large], by=ADA))

    for too_much in ([large], [wish()] * 25):
        with pytest.raises(AcceptQueueFullError):
            slowly.submit_batch_soon(too_much, by=ADA)
    slow.gate.release(9)

    assert not any(isinstance(only(each), CeleriacError) for each in waiting)
    # Three of them are too much for one transaction as well.
    assert slow.sizes == [1, 2, 1]


def test_each_of_a_lot_is_answered_for_itself(
    slowly: SubmitService, slow: SlowLedger, ledger: Ledger
) -> None:
    begin_one(slowly, slow)
    bad = slowly.submit_soon(wish(data=7), by=ADA)
    unknown = slowly.submit_soon(wish("nothing"), by=ADA)
    viewer = slowly.submit_soon(wish(), by=VIEWER)
    good = slowly.submit_soon(wish(), by=EVE)
    slow.gate.release(9)

    for future, error in (
        (bad, InvalidArgumentsError),
        (unknown, TaskNameNotFoundError),
        (viewer, NotPermittedError),
    ):
        with pytest.raises(error):
            future.result(timeout=20)
    assert isinstance(only(good), Task)
    assert len(kept(ledger)) == 2


def test_closing_writes_and_rings_for_what_was_taken_in(
    slowly: SubmitService, slow: SlowLedger, ledger: Ledger, publisher: RecordingPublisher
) -> None:
    begin_one(slowly, slow)
    waiting = slowly.submit_soon(wish(), by=ADA)
    closing = threading.Thread(target=slowly.close)
    closing.start()
    slow.gate.release(9)
    closing.join(20)

    assert isinstance(only(waiting), Task)
    assert len(kept(ledger)) == len(publisher.rung) == 2
    with pytest.raises(AcceptQueueFullError):
        slowly.submit(wish(), by=ADA)


class SlowPublisher(RecordingPublisher):
    """A broker that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)

    def ring(self, doorbells: Sequence[Any]) -> None:
        assert self.gate.acquire(timeout=20)
        super().ring(doorbells)


def test_a_slow_broker_makes_nobody_wait_who_submits(
    ledger: Ledger, catalogue: ListedCatalogue, access: AccessService, clock: Clock
) -> None:
    publisher = SlowPublisher()
    submitting = SubmitService(ledger, catalogue, publisher, access, now=clock)

    reports = [submitting.submit(wish(), by=ADA) for _ in range(3)]

    assert len(reports) == len(kept(ledger)) == 3
    assert publisher.rung == []
    publisher.gate.release(9)
    assert len(publisher.wait_for(3)) == 3
    submitting.close()


def test_more_doorbells_than_a_stopped_broker_takes_are_left_to_the_janitor(
    ledger: Ledger,
    catalogue: ListedCatalogue,
    access: AccessService,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("celeriac.service.accepting._ROOM_FOR_BELLS", 1)
    publisher = SlowPublisher()
    submitting = SubmitService(ledger, catalogue, publisher, access, now=clock)

    for _ in range(5):
        submitting.submit(wish(), by=ADA)
    publisher.gate.release(9)
    submitting.close()

    assert len(kept(ledger)) == 5
    assert 1 <= len(publisher.rung) < 5


def test_a_publisher_that_breaks_is_told_of_and_breaks_nothing_else(
    submitting: SubmitService,
    publisher: RecordingPublisher,
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ring = publisher.ring

    def fail(_: Any) -> None:
        publisher.ring = ring  # type: ignore[method-assign]
        raise RuntimeError("broken")

    publisher.ring = fail  # type: ignore[assignment, method-assign]

    first = submitting.submit(wish(), by=ADA)
    submitting._accepting._ringer.close()

    assert ledger.tasks.find(first.task.id) is not None
    assert [record.exc_info for record in caplog.records if "not rung" in record.message]


def test_a_token_is_looked_up_with_the_lot(
    submitting: SubmitService, access: AccessService, ledger: Ledger
) -> None:
    user = ledger.users.add("ada", "", Role.SUBMITTER)
    bearer = access.read_token(access._tokens.issue(user).text)

    task = only(submitting.submit_soon(wish(), by=bearer))
    ledger.users.disable("ada")
    with pytest.raises(NotAuthenticatedError):
        submitting.submit_soon(wish(data=7), by=bearer).result(timeout=20)

    assert isinstance(task, Task)
    assert task.submitted_by == "ada"


def once(key: str = "k", fingerprint: str = "f") -> Once:
    return Once(key=key, fingerprint=fingerprint, to_answer=listed)


def listed(outcomes: Sequence[TaskOutcome]) -> str:
    return ",".join(each.code if isinstance(each, CeleriacError) else each.id for each in outcomes)


def test_a_key_belongs_to_its_caller(submitting: SubmitService, ledger: Ledger) -> None:
    answers = [
        submitting.submit_soon(wish(), by=by, once=once()).result(timeout=20).answer
        for by in (ADA, ADA, EVE)
    ]

    assert answers[0] == answers[1] != answers[2]
    assert len(kept(ledger)) == 2
    with pytest.raises(IdempotencyKeyReusedError):
        submitting.submit_soon(wish(), by=ADA, once=once(fingerprint="g")).result(timeout=20)


class BusyLedger:
    """A ledger in which somebody else is answering a request with the same key, for a while."""

    def __init__(self, ledger: Ledger, turns: int) -> None:
        self.tasks = ledger.tasks
        self._ledger = ledger
        self.turns = turns

    @property
    def submissions(self) -> BusyLedger:
        return self

    def accept(self, submissions: Sequence[Submission], seen: Any, _late: Any) -> Sequence[Any]:
        self.turns -= 1
        if self.turns < 0:
            return self._ledger.submissions.accept(submissions, seen)
        return [IdempotencyKeyInFlightError()] * len(submissions)


@pytest.mark.parametrize(("turns", "patience"), [(3, 20.0), (10**9, 0.05)])
def test_a_request_waits_for_another_with_its_key_but_not_for_ever(
    ledger: Ledger,
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    access: AccessService,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    turns: int,
    patience: float,
) -> None:
    monkeypatch.setattr("celeriac.service.accepting._PATIENCE_SECONDS", patience)
    busy = BusyLedger(ledger, turns)
    submitting = SubmitService(busy, catalogue, publisher, access, now=clock)

    future = submitting.submit_soon(wish(), by=ADA, once=once())

    if turns == 3:
        assert future.result(timeout=20).answer == kept(ledger)[0]
    else:
        with pytest.raises(IdempotencyKeyInFlightError):
            future.result(timeout=20)
    submitting.close()


def test_equal_tasks_within_a_time_are_one(
    submitting: SubmitService, ledger: Ledger, clock: Clock
) -> None:
    minute = timedelta(minutes=1)

    first = submitting.submit(wish(unique_for=minute), by=ADA).task
    same = submitting.submit(wish(unique_for=minute), by=ADA).task
    others = [
        submitting.submit(wish(data="y", unique_for=minute), by=ADA).task,
        submitting.submit(wish("report", unique_for=minute), by=ADA).task,
        submitting.submit(wish(queue="q", unique_for=minute), by=ADA).task,
        submitting.submit(wish(unique_for=minute), by=EVE).task,
        submitting.submit(wish(), by=ADA).task,
    ]
    clock.advance(minutes=1)
    later = submitting.submit(wish(unique_for=minute), by=ADA).task

    assert same.id == first.id
    assert len({first.id, later.id, *(each.id for each in others)}) == 7


def test_each_of_a_batch_is_answered_in_order(
    submitting: SubmitService, ledger: Ledger, publisher: RecordingPublisher
) -> None:
    broken = InvalidOptionError("name", "is missing")

    accepted = submitting.submit_batch_soon(
        [wish(), broken, wish(data=7), wish("nothing"), wish("report")], by=ADA
    ).result(timeout=20)

    codes = [getattr(each, "code", "") for each in accepted.outcomes]
    assert codes == ["", "invalid_option", "invalid_arguments", "task_name_not_found", ""]
    assert len(kept(ledger)) == 2
    assert len(publisher.wait_for(2)) == 2


def test_those_that_are_alike_are_answered_as_each_alone(
    submitting: SubmitService, ledger: Ledger
) -> None:
    own, late = SubmitOptions(tags=("a",)), SubmitOptions(expires_at=NOON - timedelta(hours=1))
    requests = [
        SubmitRequest(name=name, kwargs={"data": data}, options=options)
        for data in ("x", 7, "y")
        for name in ("process", "report", "nothing")
        for options in (own, late)
    ]
    key = replace(ADA, task_patterns=("process", "nothing"), key_id="k")

    batch = submitting.submit_batch_soon(requests, by=key).result(timeout=20).outcomes

    assert [getattr(each, "code", "") for each in batch] == [
        code
        for first in ("", "invalid_arguments", "")
        for code in (first, first or "invalid_option", *["task_name_not_found"] * 4)
    ]
    tasks = [ledger.tasks.get(task_id) for task_id in kept(ledger)]
    assert {task.arguments.text for task in tasks} == {
        '[[], {"data": "x"}]',
        '[[], {"data": "y"}]',
    }
    assert {(task.name, task.tags, task.root_id == task.id) for task in tasks} == {
        ("process", ("a",), True)
    }


def test_all_or_nothing_names_what_is_wrong(submitting: SubmitService, ledger: Ledger) -> None:
    requests = [wish(), wish(data=7), wish("nothing")]

    with pytest.raises(InvalidBatchError) as caught:
        submitting.submit_batch_soon(requests, by=ADA, is_atomic=True).result(timeout=20)

    named = [each.pointer for each in caught.value.problems]
    assert named == ["/tasks/1/arguments/data", "/tasks/2"]
    assert kept(ledger) == []


def test_all_or_nothing_is_all_when_all_are_good(submitting: SubmitService, ledger: Ledger) -> None:
    future = submitting.submit_batch_soon([wish(), wish("report")], by=ADA, is_atomic=True)

    assert len(future.result(timeout=20).outcomes) == len(kept(ledger)) == 2


def test_a_viewer_submits_no_batch(submitting: SubmitService) -> None:
    with pytest.raises(NotPermittedError):
        submitting.submit_batch_soon([wish()], by=VIEWER).result(timeout=20)


def test_a_key_for_other_names_knows_no_task_of_this_one(submitting: SubmitService) -> None:
    key = replace(ADA, task_patterns=("report",), key_id="k")

    with pytest.raises(TaskNameNotFoundError):
        submitting.submit(wish(), by=key)
    assert submitting.submit(wish("report"), by=key).task.name == "report"


def test_what_the_ledger_cannot_keep_is_told_to_who_submitted_it(
    submitting: SubmitService, ledger: Ledger
) -> None:
    ledger.tasks.insert([make_new_task(id=TaskId("taken"), name="another")])

    with pytest.raises(TaskIdTakenError):
        submitting.submit(wish(), by=ADA, task_id=TaskId("taken"))
