"""Many submissions in one transaction, each answered for itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from celeriac.core.acceptance import (
    Accepted,
    Reservation,
    Submission,
    TaskOutcome,
    Wanted,
    WantedTask,
    task_as_accepted,
)
from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, NewTask, Task, TaskId, Twin
from celeriac.errors import (
    CeleriacError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InvalidBatchError,
    InvalidOptionError,
    TaskIdTakenError,
)
from celeriac.ledger.open import Ledger, open_ledger
from tests.contract.ledger.desk import Desk, new
from tests.contract.ledger.test_submitting import BAD as BAD_TASKS
from tests.fakes import Clock

DAY = timedelta(days=1)
# What no SQL text can hold.
BAD = Arguments(codec=Codec.JSON, text="a\0b")


def name(word: str, *, fingerprint: str = "", lifetime: timedelta = DAY) -> Reservation:
    """Return a name to be taken, made of a short word."""
    digits = "".join(f"{ord(letter):02x}" for letter in word)
    return Reservation(id=digits.ljust(64, "0"), fingerprint=fingerprint, lifetime=lifetime)


def listed(outcomes: Sequence[TaskOutcome]) -> str:
    return ",".join(each.code if isinstance(each, CeleriacError) else each.id for each in outcomes)


def one(
    task_id: str,
    *,
    once: Reservation | None = None,
    unique: Reservation | None = None,
    **facts: Any,
) -> Submission:
    """Return a submission of one task."""
    wanted = WantedTask(task=new(task_id, **facts), unique=unique)
    return Submission(tasks=[wanted], once=once, to_answer=listed)


def many(*ids: str, bad: Sequence[str] = (), is_atomic: bool = False) -> Submission:
    """Return a submission of some tasks, of which some cannot be kept."""
    tasks = [new(each, **({"arguments": BAD} if each in bad else {})) for each in ids]
    return Submission(tasks=[WantedTask(task=task) for task in tasks], is_atomic=is_atomic)


def ids_in(ledger: Ledger) -> list[str]:
    page = ledger.tasks.list(TaskFilter(), after=None, limit=200)
    return sorted(task.id for task in page.items)


def accepted(answer: object) -> Accepted:
    assert isinstance(answer, Accepted), answer
    return answer


def outcome(answer: object) -> TaskOutcome:
    (only,) = accepted(answer).outcomes
    return only


def test_an_accepted_task_is_told_as_it_is_read(ledger: Ledger, clock: Clock) -> None:
    facts: Any = {
        "queue": "q",
        "priority": 9,
        "tags": ("a",),
        "timeout_seconds": 1.5,
        "at_most_once": True,
        "submitted_by": "ada",
        "max_attempts": 3,
    }
    later = clock() + timedelta(hours=1)

    answers = ledger.submissions.accept([one("now", **facts), one("later", not_before=later)])

    for answer, state in zip(answers, (TaskState.QUEUED, TaskState.SCHEDULED), strict=True):
        task = outcome(answer)
        assert isinstance(task, Task)
        assert task == ledger.tasks.get(task.id)
        assert task.state is state
    assert [bell.task_id for bell in accepted(answers[0]).doorbells] == ["now"]
    assert accepted(answers[1]).doorbells == []


def test_nothing_handed_in_is_nothing_written(ledger: Ledger) -> None:
    assert ledger.submissions.accept([]) == []


def test_a_bad_task_fails_none_of_its_neighbours(ledger: Ledger) -> None:
    handed_in = [one(f"task-{number:03}") for number in range(255)]
    handed_in.insert(100, one("bad", arguments=BAD))

    answers = ledger.submissions.accept(handed_in)

    assert isinstance(outcome(answers[100]), InvalidOptionError)
    assert sum(isinstance(outcome(each), Task) for each in answers) == 255
    assert sum(len(accepted(each).doorbells) for each in answers) == 255
    assert "bad" not in ids_in(ledger)


def test_whatever_is_bad_about_them_bad_tasks_fail_alone(ledger: Ledger) -> None:
    ledger.tasks.insert([new("taken", name="sample.other")])
    tasks = [new(f"good-{number}") for number in range(40)]
    tasks[7:7] = [*BAD_TASKS, new("taken")]
    end = 7 + len(BAD_TASKS)

    answers = ledger.submissions.accept([Submission(tasks=[WantedTask(task=t)]) for t in tasks])

    outcomes = [outcome(each) for each in answers]
    assert all(isinstance(each, InvalidOptionError) for each in outcomes[7:end])
    assert isinstance(outcomes[end], TaskIdTakenError)
    good = [*outcomes[:7], *outcomes[end + 1 :]]
    assert [each.id for each in good if isinstance(each, Task)] == [f"good-{n}" for n in range(40)]
    assert all(ledger.tasks.find(f"good-{number}") for number in range(40))


def test_each_task_of_a_submission_is_answered_in_order(ledger: Ledger) -> None:
    answer = accepted(ledger.submissions.accept([many("a", "b", "c", "d", bad=["b"])])[0])

    assert listed(answer.outcomes) == "a,invalid_option,c,d"
    assert [bell.task_id for bell in answer.doorbells] == ["a", "c", "d"]
    assert ids_in(ledger) == ["a", "c", "d"]


def test_all_or_nothing_is_nothing_when_one_cannot_be_kept(ledger: Ledger) -> None:
    wanted = many("a", "b", "c", bad=["b"], is_atomic=True)

    refusal, neighbour = ledger.submissions.accept([wanted, one("d")])

    assert isinstance(refusal, InvalidBatchError)
    assert [each.pointer for each in refusal.problems] == ["/tasks/1/options/task"]
    assert isinstance(outcome(neighbour), Task)
    assert ids_in(ledger) == ["d"]


def test_all_or_nothing_is_nothing_when_an_id_is_taken(ledger: Ledger) -> None:
    ledger.tasks.insert([new("b", name="sample.other")])

    refusal, neighbour = ledger.submissions.accept([many("a", "b", is_atomic=True), one("d")])

    assert isinstance(refusal, InvalidBatchError)
    assert [each.pointer for each in refusal.problems] == ["/tasks/1"]
    assert isinstance(outcome(neighbour), Task)
    assert ids_in(ledger) == ["b", "d"]


def test_all_or_nothing_is_all_when_all_are_good(ledger: Ledger) -> None:
    (answer,) = ledger.submissions.accept([many("a", "b", is_atomic=True)])

    assert listed(accepted(answer).outcomes) == "a,b"


def twins(*ids: str, bad: Sequence[str] = (), like: NewTask) -> list[Twin]:
    """Return tasks like another one, of which some cannot be kept."""
    return [
        Twin(
            TaskId(each),
            BAD if each in bad else replace(like.arguments, text=f'[["{each}"],{{}}]'),
            like,
        )
        for each in ids
    ]


OWN_ROOT = new("x", root_id="x", submitted_by="ada", tags=("red",), timeout_seconds=1.5)


def test_twins_are_kept_as_what_they_are_like(ledger: Ledger, clock: Clock) -> None:
    later = new("y", queue="q", root_id="y", not_before=clock() + timedelta(hours=1))
    wanted = [*twins("a", "b", like=OWN_ROOT), *twins("c", like=later), *twins("d", like=OWN_ROOT)]
    mixed: list[Wanted] = [wanted[0], WantedTask(task=new("e")), *wanted[1:]]

    (answer,) = ledger.submissions.accept([Submission(tasks=mixed)])

    outcomes = accepted(answer).outcomes
    assert listed(outcomes) == "a,e,b,c,d"
    kept = [ledger.tasks.get(each) for each in ("a", "b", "c", "d")]
    states = [getattr(each, "state", None) for each in outcomes]
    assert [states[0], *states[2:]] == [task.state for task in kept]
    for task, twin in zip(kept, wanted, strict=True):
        assert task == task_as_accepted(twin.to_new_task(), state=task.state, created_at=clock())
    assert [task.root_id for task in kept] == ["a", "b", "c", "d"]
    ready = [(bell.task_id, bell.queue) for bell in accepted(answer).doorbells]
    assert sorted(ready) == [(each, "default") for each in "abde"]


def test_a_lone_twin_of_each_kind_has_its_own_id(ledger: Ledger) -> None:
    other = new("y", name="sample.other", root_id="root")
    wanted = [*twins("a", like=OWN_ROOT), *twins("b", like=other)]

    (answer,) = ledger.submissions.accept([Submission(tasks=wanted)])

    assert listed(accepted(answer).outcomes) == "a,b"
    assert ids_in(ledger) == ["a", "b"]
    kept = [ledger.tasks.get(each) for each in ("a", "b")]
    assert [(task.name, task.root_id, task.arguments.text) for task in kept] == [
        ("sample.add", "a", '[["a"],{}]'),
        ("sample.other", "root", '[["b"],{}]'),
    ]


def test_a_bad_twin_fails_alone(ledger: Ledger) -> None:
    ledger.tasks.insert([new("taken", name="sample.other")])
    wanted = twins("a", "bad", "b", "taken", "b", bad=["bad"], like=OWN_ROOT)

    answer, beside = ledger.submissions.accept([Submission(tasks=wanted), one("c")])

    assert listed(accepted(answer).outcomes) == "a,invalid_option,b,task_id_taken,b"
    assert isinstance(outcome(beside), Task)
    assert ids_in(ledger) == ["a", "b", "c", "taken"]
    assert ledger.tasks.get("a").root_id == "a"
    assert [bell.task_id for bell in accepted(answer).doorbells] == ["a", "b"]


def test_all_or_nothing_holds_for_twins(ledger: Ledger) -> None:
    wanted = Submission(tasks=twins("a", "bad", bad=["bad"], like=OWN_ROOT), is_atomic=True)

    (refusal,) = ledger.submissions.accept([wanted])

    assert isinstance(refusal, InvalidBatchError)
    assert ids_in(ledger) == []


def test_the_same_task_twice_is_one_task(ledger: Ledger) -> None:
    first, second = ledger.submissions.accept([one("a"), one("a")])
    (third,) = ledger.submissions.accept([one("a")])

    assert outcome(first) == outcome(second) == outcome(third) == ledger.tasks.get("a")
    bells = [bell for each in (first, second, third) for bell in accepted(each).doorbells]
    assert [bell.task_id for bell in bells] == ["a"]


def test_another_task_under_a_known_id_is_refused(ledger: Ledger) -> None:
    first, second = ledger.submissions.accept([one("a"), one("a", name="sample.other")])

    assert isinstance(outcome(first), Task)
    assert isinstance(outcome(second), TaskIdTakenError)
    assert ledger.tasks.get("a").name == "sample.add"


def test_a_request_that_comes_again_gets_its_first_answer(ledger: Ledger) -> None:
    once = name("key")
    first, beside = ledger.submissions.accept([one("a", once=once), one("b", once=once)])
    (later,) = ledger.submissions.accept([one("c", once=once)])

    answers = [accepted(each).answer for each in (first, beside, later)]
    assert answers == ["a", "a", "a"]
    assert accepted(beside).doorbells == accepted(later).doorbells == ()
    assert ids_in(ledger) == ["a"]


def test_another_request_under_the_same_name_is_refused(ledger: Ledger) -> None:
    once = name("key", fingerprint="this")
    other = replace(once, fingerprint="that")

    _, beside = ledger.submissions.accept([one("a", once=once), one("b", once=other)])
    (later,) = ledger.submissions.accept([one("c", once=other)])

    assert isinstance(beside, IdempotencyKeyReusedError)
    assert isinstance(later, IdempotencyKeyReusedError)
    assert ids_in(ledger) == ["a"]


def test_a_name_is_free_again_after_its_time(ledger: Ledger, clock: Clock) -> None:
    once = name("key")
    ledger.submissions.accept([one("a", once=once)])

    clock.advance(hours=23, minutes=59)
    (before,) = ledger.submissions.accept([one("b", once=once)])
    clock.advance(minutes=1)
    (after,) = ledger.submissions.accept([one("c", once=once)])

    assert (accepted(before).answer, accepted(after).answer) == ("a", "c")
    assert ids_in(ledger) == ["a", "c"]


def test_a_refused_request_takes_no_name(ledger: Ledger) -> None:
    once = name("key")

    refused, beside = ledger.submissions.accept(
        [one("a", once=once, arguments=BAD), one("a", once=once, arguments=BAD)]
    )
    (again,) = ledger.submissions.accept([one("b", once=once)])

    assert isinstance(outcome(refused), InvalidOptionError)
    assert isinstance(outcome(beside), InvalidOptionError)
    assert accepted(again).answer == "b"


def test_reservations_are_forgotten_when_their_time_is_over(
    ledger: Ledger, desk: Desk, clock: Clock
) -> None:
    ledger.submissions.accept([one("a", once=name("a")), one("b", once=name("b"))])
    clock.advance(hours=12)
    ledger.submissions.accept([one("c", once=name("c"))])

    early = ledger.submissions.forget_reservations()
    clock.advance(hours=12)
    bites = [ledger.submissions.forget_reservations(limit=1) for _ in range(3)]

    assert early == 0
    assert bites == [1, 1, 0]
    assert desk.run_sql("SELECT answer FROM reservations") == [("c",)]


def test_a_unique_task_stands_for_those_who_come_after(ledger: Ledger, desk: Desk) -> None:
    unique = name("unique", lifetime=timedelta(seconds=60))
    first, beside = ledger.submissions.accept([one("a", unique=unique), one("b", unique=unique)])
    desk.complete(desk.claim_one("a"))
    (later,) = ledger.submissions.accept([one("c", unique=unique)])
    desk.later(seconds=60)
    (after,) = ledger.submissions.accept([one("d", unique=unique)])

    assert [listed(accepted(each).outcomes) for each in (first, beside, later, after)] == [
        "a",
        "a",
        "a",
        "d",
    ]
    # As it is now, not as it was.
    assert outcome(later) == ledger.tasks.get("a")
    assert ids_in(ledger) == ["a", "d"]


def test_two_equal_tasks_of_one_submission_are_one(ledger: Ledger) -> None:
    unique = name("unique")
    wanted = [WantedTask(task=new(each), unique=unique) for each in ("a", "b")]

    answer, beside = ledger.submissions.accept([Submission(tasks=wanted), one("c", unique=unique)])

    assert listed(accepted(answer).outcomes) == "a,a"
    assert listed(accepted(beside).outcomes) == "a"
    assert [bell.task_id for bell in accepted(answer).doorbells] == ["a"]


def test_a_unique_task_that_is_no_more_stands_for_nobody(ledger: Ledger, desk: Desk) -> None:
    unique = name("unique")
    ledger.submissions.accept([one("a", unique=unique)])
    desk.run_sql("DELETE FROM tasks WHERE id = 'a'")

    (answer,) = ledger.submissions.accept([one("b", unique=unique)])

    assert listed(accepted(answer).outcomes) == "b"


def test_fifty_at_once_from_two_programs_are_one_task(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(2)]
    together = threading.Barrier(10)
    answers: list[str | None] = []

    def submit(number: int) -> None:
        together.wait()
        for turn in range(5):
            answer = None
            # Another program's transaction has the name for a moment.
            while not isinstance(answer, Accepted):
                wish = one(f"{number}-{turn}", once=name("key"))
                (answer,) = ledgers[number % 2].submissions.accept([wish])
            answers.append(answer.answer)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 50
    assert ids_in(ledgers[0]) == [answers[0]]
    assert set(answers) == {answers[0]}
    for each in ledgers:
        each.close()


def test_a_name_that_another_program_is_taking_is_busy_and_holds_up_nobody(
    ledger: Ledger, ledger_url: str
) -> None:
    if ledger_url.startswith("sqlite"):
        # Its one writer takes a name or has not begun.
        return
    once = name("key")
    other = open_ledger(ledger_url)
    inside, go_on = threading.Event(), threading.Event()

    def stop_half_way(outcomes: Sequence[TaskOutcome]) -> str:
        inside.set()
        assert go_on.wait(20)
        return listed(outcomes)

    slow = Submission(tasks=[WantedTask(task=new("a"))], once=once, to_answer=stop_half_way)
    thread = threading.Thread(target=other.submissions.accept, args=([slow],))
    thread.start()
    assert inside.wait(20)

    busy, neighbour = ledger.submissions.accept([one("b", once=once), one("c")])
    go_on.set()
    thread.join()
    (again,) = ledger.submissions.accept([one("b", once=once)])

    assert isinstance(busy, IdempotencyKeyInFlightError)
    assert isinstance(outcome(neighbour), Task)
    assert accepted(again).answer == "a"
    assert ids_in(ledger) == ["a", "c"]
    other.close()
