"""Results that are believed although they came by way of the broker, and those that are not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celeriac.core.outcome import Ended
from celeriac.core.task import Codec, TaskId
from celeriac.engine import codec
from celeriac.engine.notices import channel_of
from celeriac.engine.signing import Signer, new_key
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk
from tests.fakes import Clock
from tests.servers.valkey import ValkeyServer


@pytest.fixture
def result(app: Celery) -> Any:
    """A task that was sent and has not ended."""
    return app.tasks["add"].delay(3)


@contextmanager
def soon(call: Any, *args: Any) -> Iterator[None]:
    """Have something done once a waiter listens, and be done with it in the end."""
    timer = threading.Timer(0.1, call, args)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def count_looks(app: Celery) -> list[Any]:
    """Return a list that grows with each look into the ledger."""
    road = app.celeriac.road
    find, looks = road.find, list[Any]()

    def look(task_ids: Any) -> Any:
        looks.append(task_ids)
        return find(task_ids)

    road.find = look
    return looks


def word(task_id: str, **changes: Any) -> bytes:
    """Return what is said of a completed task."""
    meta = {"task_id": task_id, "status": "SUCCESS", "result": 3, "traceback": None, "children": []}
    return json.dumps(meta | changes).encode()


def ended(task_id: str, value: Any = 3) -> Ended:
    """Return a completed task's end."""
    kind, text = codec.dump(value)
    return Ended(TaskId(task_id), "completed", text, kind)


def test_whoever_waits_for_a_lone_task_hears_its_result(app: Celery, result: Any) -> None:
    looks = count_looks(app)

    # Not written into the ledger at all: it must be the word that is believed.
    with soon(app.celeriac.notices.tell, [ended(result.id, {"sum": 3})]):
        assert result.get(timeout=20) == {"sum": 3}

    # Before it listened, and as soon as it did.
    assert len(looks) == 2
    assert (result.state, result.result, result.successful()) == ("SUCCESS", {"sum": 3}, True)
    assert len(looks) == 2


def test_what_the_word_does_not_say_is_read_in_the_ledger(
    app: Celery, ledger: Ledger, result: Any
) -> None:
    desk = Desk(ledger, Clock())
    looks = count_looks(app)

    def end() -> None:
        desk.complete(desk.claim_one(result.id))
        app.celeriac.notices.tell([ended(result.id)])

    with soon(end):
        assert result.get(timeout=20) == 3
    assert len(looks) == 2

    assert (result.name, list(result.args), result.kwargs) == ("add", [3], {})
    assert (result.queue, result.worker, result.retries) == ("default", "celery@w1", 0)
    assert result.date_done == ledger.tasks.get(result.id).finished_at
    assert result.get(timeout=1) == 3
    assert len(looks) == 3


@pytest.mark.parametrize("case", ["unsigned", "another's key", "another's task", "changed"])
def test_a_word_that_somebody_else_made_is_not_believed(
    app: Celery, result: Any, valkey: ValkeyServer, case: str
) -> None:
    signer = app.celeriac.signer
    said = {
        "unsigned": word(result.id),
        "another's key": Signer(new_key).sign(word(result.id)),
        "another's task": signer.sign(word("another")),
        "changed": signer.sign(word(result.id)).replace(b'"result": 3', b'"result": 4'),
    }[case]

    with (
        soon(valkey.client().publish, channel_of(result.id), said),
        pytest.raises(CeleryTimeoutError),
    ):
        result.get(timeout=0.5)


@pytest.mark.parametrize(
    "told",
    [
        Ended(TaskId("a"), "completed", "3", Codec.TYPED),
        Ended(TaskId("a"), "completed", json.dumps({"celeriac_file": "0" * 32})),
        Ended(TaskId("a"), "failed"),
    ],
)
def test_what_the_ledger_knows_better_is_not_signed(
    app: Celery, valkey: ValkeyServer, told: Ended
) -> None:
    app.celeriac.notices.tell([told])

    kept: Any = valkey.client().get("celery-task-meta-a")
    assert "signature" not in json.loads(kept)


def test_whoever_waits_for_several_looks_them_up(app: Celery, ledger: Ledger) -> None:
    results = [app.tasks["add"].delay(each) for each in range(3)]
    desk = Desk(ledger, Clock())

    def end_all() -> None:
        for each in results:
            desk.complete(desk.claim_one(each.id))
        app.celeriac.notices.tell([ended(each.id, "not this") for each in results])

    with soon(end_all):
        found = dict(app.backend.get_many([each.id for each in results], timeout=20))

    assert [found[each.id]["result"] for each in results] == [3, 3, 3]


def test_every_process_of_a_ledger_has_the_same_key(app: Celery, ledger: Ledger) -> None:
    mine = app.celeriac.signer.sign(word("a"))

    found = ledger.settings.find("result_signing_key")

    assert found is not None
    assert len(found) == 64
    assert Signer(lambda: found).verify(mine) == word("a")
