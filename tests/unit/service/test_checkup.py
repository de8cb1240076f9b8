from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.broker import BrokerFacts
from celeriac.core.queue import Pause, Queue, QueuedName
from celeriac.service.checkup import (
    check_broker,
    check_code,
    check_files,
    check_keys,
    check_modes,
    check_names,
    check_queues,
    check_waiting,
    check_worker,
    check_workers,
)
from celeriac.service.findings import Finding, Verdict, is_sound
from tests.fakes import NOON, make_worker

LEASE = timedelta(seconds=15)


def facts(**changes: Any) -> BrokerFacts:
    known: dict[str, Any] = {
        "product": "Valkey 9.1.0",
        "answer_seconds": 0.0004,
        "eviction_policy": "noeviction",
        "is_persistent": True,
        **changes,
    }
    return BrokerFacts(**known)


def make_queue(
    name: str, *, queued: int = 0, workers: int = 1, pause: Pause | None = None
) -> Queue:
    oldest = NOON if queued else None
    return Queue(
        name=name,
        queued=queued,
        oldest_queued_at=oldest,
        running=0,
        workers=workers,
        pause=pause,
    )


def verdicts(findings: list[Finding]) -> set[Verdict]:
    return {each.verdict for each in findings}


def wrong(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.verdict is not Verdict.GOOD]


@pytest.mark.parametrize(
    ("changes", "worst"),
    [
        ({}, Verdict.GOOD),
        # RabbitMQ says nothing of this kind.
        ({"eviction_policy": None, "is_persistent": None}, Verdict.GOOD),
        ({"is_persistent": False}, Verdict.GOOD),
        # Without a bound nothing is evicted yet.
        ({"eviction_policy": "allkeys-lru"}, Verdict.WARNING),
        ({"eviction_policy": "allkeys-lru", "most_bytes": 1 << 20}, Verdict.PROBLEM),
        ({"evicted": 3}, Verdict.WARNING),
        ({"is_write_failing": True}, Verdict.PROBLEM),
    ],
)
def test_a_broker_is_judged_by_what_it_says(changes: dict[str, Any], worst: Verdict) -> None:
    found = check_broker(facts(**changes))

    expected = {Verdict.GOOD} if worst is Verdict.GOOD else {Verdict.GOOD, worst}
    assert verdicts(found) == expected
    assert all(each.fix for each in wrong(found))
    assert is_sound(found) == (worst is not Verdict.PROBLEM)


def test_a_queue_that_nobody_serves_is_a_problem() -> None:
    found = check_queues(
        [
            make_queue("default", queued=4),
            make_queue("one", queued=1, workers=0),
            make_queue("empty", workers=0),
            make_queue("our reports", queued=31, workers=0),
        ]
    )

    assert [each.text.split(": ")[1] for each in found] == [
        "1 task waits and no worker serves it",
        "31 tasks wait and no worker serves it",
    ]
    assert found[0].fix.startswith(
        "celeriac worker --queues one; or celeriac tasks list --queue one"
    )
    assert found[1].fix.startswith("celery -A APP worker -Q 'our reports'; or ")


def test_a_queue_that_was_mistyped_is_told_with_the_one_meant_and_how_to_take_its_tasks_away() -> (
    None
):
    found = check_queues([make_queue("high_priority"), make_queue("high", queued=1, workers=0)])

    assert "or did you mean high_priority? celeriac tasks list --queue high " in found[0].fix
    assert "celeriac tasks cancel ID" in found[0].fix
    assert found[0].fix.endswith("then submit it with --queue high_priority")


@pytest.mark.parametrize(
    ("pause", "said"),
    [
        (Pause(by="ann", reason="a release", since=NOON), "paused by ann: a release; 3 tasks wait"),
        # A program did it by itself, and gave no reason.
        (Pause(by=None, reason="", since=NOON), "paused by the service; 3 tasks wait"),
    ],
)
def test_a_queue_that_is_paused_is_told_with_who_and_why(pause: Pause, said: str) -> None:
    (found,) = check_queues([make_queue("default", queued=3, pause=pause)])

    assert found.verdict is Verdict.WARNING
    assert found.text.endswith(f"default: {said}")
    assert found.fix == "celeriac queues resume default"


def test_queues_that_are_served_are_well() -> None:
    (found,) = check_queues([make_queue("default", queued=4)])

    assert found.verdict is Verdict.GOOD
    assert found.text == "queues    4 tasks wait; each queue has its workers, none is paused"


@pytest.mark.parametrize(
    ("queued", "said"),
    [
        ((0, 0), []),
        ((1, 0), ["queues    1 task waits, and runs once the service does"]),
        ((2, 3), ["queues    5 tasks wait, and run once the service does"]),
    ],
)
def test_what_waits_for_a_stopped_service_is_counted(
    queued: tuple[int, int], said: list[str]
) -> None:
    first, second = queued
    found = check_waiting([make_queue("one", queued=first), make_queue("two", queued=second)])

    assert [each.text for each in found] == said
    assert is_sound(found)


def test_tasks_that_no_worker_of_their_queue_knows_are_a_problem() -> None:
    knows = make_worker(queues=("default",), task_names=frozenset({"add"}))
    elsewhere = make_worker(queues=("other",), task_names=None)
    queued = [
        QueuedName(queue="default", name=name, count=count)
        for name, count in (("add", 9), ("new", 1), ("old", 5), ("odd", 2), ("one", 1))
    ]
    # Nobody listens there, which is said already; and here somebody cannot tell.
    queued += [QueuedName(queue=name, name="new", count=1) for name in ("nobodys", "other")]

    (found,) = check_names(queued, [knows, elsewhere])

    assert found.verdict is Verdict.PROBLEM
    assert found.text.endswith(
        "default: 9 tasks wait that no worker of it knows: old (5), odd (2), new (1) and 1 more"
    )
    assert found.fix
    assert check_names(queued[:1], [knows]) == []


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (timedelta(seconds=3), Verdict.GOOD),
        # Within what clocks may differ by.
        (timedelta(seconds=-1), Verdict.GOOD),
        (timedelta(seconds=-3), Verdict.WARNING),
        (timedelta(seconds=41), Verdict.PROBLEM),
    ],
)
def test_a_worker_is_judged_by_its_last_heartbeat(age: timedelta, verdict: Verdict) -> None:
    (found,) = check_workers([make_worker()], now=NOON + age, lease=LEASE)

    assert found.verdict is verdict


def test_one_bad_worker_does_not_hide_the_good_ones() -> None:
    silent = make_worker(id="worker-2", name="celery@other", heartbeat_at=NOON - 2 * LEASE)

    found = check_workers([make_worker(), silent], now=NOON, lease=LEASE)

    assert verdicts(found) == {Verdict.GOOD, Verdict.PROBLEM}
    assert "1 of 2" in found[-1].text


def test_without_a_worker_somebody_should_know() -> None:
    (found,) = check_workers([], now=NOON, lease=LEASE)

    assert found.verdict is Verdict.WARNING


def test_two_workers_of_one_name_are_told_apart() -> None:
    silent = make_worker(id="w2", pid=8, queues=("mail",), heartbeat_at=NOON - 2 * LEASE)
    both = [make_worker(id="w1", pid=7), silent]

    (problem, _) = check_workers(both, now=NOON, lease=LEASE)

    assert f"{silent.name} (process 8, queues mail): no heartbeat" in problem.text


def test_workers_of_one_queue_with_different_code_are_told_and_the_older_is_named() -> None:
    older = make_worker(id="w1", name="a", code_version="aaa", started_at=NOON - 2 * LEASE)
    newer = make_worker(id="w2", name="b", code_version="bbb")

    (found,) = check_code([newer, older])

    assert found.verdict is Verdict.WARNING
    assert "a has aaa, b has bbb" in found.text
    assert found.fix.startswith("start a again")


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"code_version": "aaa"}, "2 workers"),
        # Another team's tasks.
        ({"code_version": "bbb", "queues": ("mail",)}, "2 workers"),
        # It joined before workers could tell.
        ({"code_version": ""}, "1 worker"),
    ],
)
def test_code_is_compared_within_a_queue_alone(changes: dict[str, Any], count: str) -> None:
    workers = [make_worker(id="w1", code_version="aaa"), make_worker(id="w2", **changes)]

    (found,) = check_code(workers)

    assert found.verdict is Verdict.GOOD
    assert found.text.endswith(f"({count})")


def test_one_worker_is_judged_by_its_latest_start() -> None:
    earlier = make_worker(id="worker-0", heartbeat_at=NOON - 2 * LEASE)
    other = make_worker(id="worker-2", name="celery@other", heartbeat_at=NOON - 2 * LEASE)

    found = check_worker(earlier.name, [earlier, make_worker(), other], now=NOON, lease=LEASE)

    assert verdicts(found) == {Verdict.GOOD}


def test_one_worker_that_has_not_joined_is_a_problem() -> None:
    (found,) = check_worker("worker@nowhere", [make_worker()], now=NOON, lease=LEASE)

    assert found.verdict is Verdict.PROBLEM
    assert found.fix == "celeriac worker -n worker@nowhere"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        # The one in the data folder counts, and is random.
        ((), set()),
        (("changeme" * 8,), {Verdict.PROBLEM}),
        (("a-random-9f3kQ2_zXv7LmT5cR8wYb1Nd0", "x" * 40), {Verdict.PROBLEM}),
        (("a-random-9f3kQ2_zXv7LmT5cR8wYb1Nd0",), {Verdict.GOOD}),
    ],
)
def test_a_key_that_could_be_guessed_is_a_problem(
    keys: tuple[str, ...], found: set[Verdict]
) -> None:
    assert verdicts(check_keys(keys)) == found
    assert not any(key in each.text for each in check_keys(keys) for key in keys)


@pytest.mark.parametrize(
    ("is_writable", "owner", "verdict"),
    [
        (True, None, Verdict.GOOD),
        (True, "us", Verdict.GOOD),
        # another service was pointed at the same folder
        (True, "them", Verdict.WARNING),
        (False, "us", Verdict.PROBLEM),
    ],
)
def test_files_have_a_folder_of_their_own(
    owner: str | None, verdict: Verdict, *, is_writable: bool
) -> None:
    found = check_files("/files", is_writable=is_writable, owner=owner, us="us")

    assert found.verdict is verdict
    assert bool(found.fix) is (verdict is not Verdict.GOOD)


def test_a_secret_that_others_may_read_is_a_problem() -> None:
    found = check_modes({"data": 0o700, "data/secret.key": 0o640})

    assert [each.fix for each in found] == ["chmod go= data/secret.key"]
    assert verdicts(check_modes({"data": 0o700})) == {Verdict.GOOD}
    assert check_modes({}) == []
