"""Queues as the ledger counts and pauses them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.queue import Pause, Queue
from celeriac.errors import InvalidOptionError
from tests.contract.ledger.desk import Desk, new


def test_nothing_of_a_paused_queue_is_claimed_until_it_is_resumed(desk: Desk) -> None:
    desk.put(new("a"), new("b", queue="other"))

    assert desk.ledger.queues.pause("default", by="ann")
    assert desk.claim("a") == []
    assert len(desk.exchange(wanted=["b"], queues=["default", "other"]).claimed) == 1

    assert desk.ledger.queues.resume("default")
    assert len(desk.claim("a")) == 1


def test_what_runs_goes_on_while_its_queue_is_paused(desk: Desk) -> None:
    held = desk.begin("a")

    desk.ledger.queues.pause("default", by="ann")

    assert desk.complete(held).lost == ()


def test_nothing_of_a_paused_queue_is_rung_for_and_all_of_it_when_it_is_resumed(
    desk: Desk,
) -> None:
    desk.put(new("a"), new("b"))
    desk.ledger.queues.pause("default", by=None)
    desk.later(hours=1)
    again = timedelta(seconds=30)

    assert desk.ledger.sweeps.due_to_ring("default", limit=10, again=again) == []
    desk.ledger.queues.resume("default")

    rung = desk.ledger.sweeps.due_to_ring("default", limit=10, again=again)
    assert {bell.task_id for bell in rung} == {"a", "b"}


def test_the_first_one_who_pauses_gives_the_reason(desk: Desk) -> None:
    assert desk.ledger.queues.pause("default", by="ann", reason="a release")
    since = desk.clock()
    desk.later(seconds=5)

    assert not desk.ledger.queues.pause("default", by="bob", reason="lunch")

    assert desk.ledger.queues.paused() == {
        "default": Pause(by="ann", reason="a release", since=since)
    }


def test_resuming_what_is_not_paused_changes_nothing(desk: Desk) -> None:
    assert not desk.ledger.queues.resume("default")
    assert not desk.ledger.queues.resume("no\0name")


@pytest.mark.parametrize("name", ["", "x" * 201, "no\0name", "\ud800"])
def test_a_name_that_cannot_be_kept_is_refused(desk: Desk, name: str) -> None:
    with pytest.raises(InvalidOptionError, match="queue"):
        desk.ledger.queues.pause(name, by="ann")
    with pytest.raises(InvalidOptionError, match="reason"):
        desk.ledger.queues.pause("default", by="ann", reason="\0")


def test_a_queue_is_listed_for_its_tasks_its_workers_and_its_pause(desk: Desk) -> None:
    ready = desk.clock()
    desk.put(new("a", queue="one"), new("b", queue="one"), new("c", queue="two"))
    desk.exchange(wanted=["c"], queues=["two"])
    desk.ledger.queues.pause("three", by=None)

    found = desk.ledger.queues.list()

    assert [each.name for each in found] == ["default", "one", "three", "two"]
    quiet: dict[str, Any] = {
        "queued": 0,
        "oldest_queued_at": None,
        "running": 0,
        "workers": 0,
        "pause": None,
    }
    pause = Pause(by=None, reason="", since=desk.clock())
    assert found[0] == Queue(name="default", **{**quiet, "workers": 1})
    assert found[1] == Queue(name="one", **{**quiet, "queued": 2, "oldest_queued_at": ready})
    assert found[2] == Queue(name="three", **{**quiet, "pause": pause})
    assert found[3] == Queue(name="two", **{**quiet, "running": 1})
