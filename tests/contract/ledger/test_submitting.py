from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest

from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, Doorbell, NewTask, Task, TaskId
from celeriac.errors import InvalidOptionError, TaskIdTakenError, TaskNotFoundError
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk, new, new_chord, waiting
from tests.fakes import Clock


def to_new(task: Task) -> NewTask:
    """Return a kept task as it was put in, as far as it was not left to a default."""
    facts = {each.name for each in fields(NewTask)} & {each.name for each in fields(Task)}
    return NewTask(**{name: getattr(task, name) for name in facts})


def test_a_task_comes_back_as_it_was_put_in(ledger: Ledger, clock: Clock) -> None:
    text = '[["grüß Gott 🙂","\\u0000 is only six letters here"],{"n":1e400}]'
    task = NewTask(
        id=TaskId("a task's id; any string"),
        name="sample.add",
        arguments=Arguments(codec=Codec.TYPED, text=text),
        queue="high_priority",
        priority=9,
        headers='{"errbacks":[]}',
        expires_at=clock() + timedelta(hours=1),
        max_attempts=4,
        retries=1,
        root_id="root",
        parent_id="parent",
        group_id="group",
        retry_of=TaskId("before"),
        submitted_by="ada",
        tags=("red", "green"),
    )

    ledger.tasks.insert([task])

    found = ledger.tasks.get(task.id)
    assert found.arguments == task.arguments
    assert (found.queue, found.priority, found.headers) == ("high_priority", 9, '{"errbacks":[]}')
    assert found.expires_at == task.expires_at
    assert (found.max_attempts, found.retries, found.attempt, found.version) == (4, 1, 0, 1)
    assert (found.root_id, found.parent_id, found.group_id) == ("root", "parent", "group")
    assert (found.retry_of, found.submitted_by, found.tags) == ("before", "ada", ("red", "green"))
    assert (found.state, found.created_at) == (TaskState.QUEUED, clock())


def test_tasks_put_in_together_come_back_as_each_was_put_in(ledger: Ledger, clock: Clock) -> None:
    text = '[["grüß 🙂\\"","\\u0000 is six letters"],{"n":1e400}]'
    tasks = [
        new("a"),
        new("b", priority=0, tags=("red",), timeout_seconds=2.0, at_most_once=True),
        new("c", arguments=Arguments(codec=Codec.TYPED, text=text), root_id="c"),
        new("d", not_before=clock() + timedelta(hours=1), max_attempts=2, queue="other"),
        new("e", name="sample.subtract", submitted_by="ada", timeout_seconds=0.5),
    ]
    alike = [new(f"f-{number}", submitted_by="ada") for number in range(5)]

    ledger.tasks.insert([*tasks, *alike])

    assert [to_new(ledger.tasks.get(each.id)) for each in [*tasks, *alike]] == [*tasks, *alike]


def test_only_what_is_ready_has_a_doorbell(ledger: Ledger, clock: Clock) -> None:
    later = clock() + timedelta(minutes=1)

    doorbells = ledger.tasks.insert(
        [
            new("b", queue="q", priority=3),
            new("a", not_before=later),
            waiting("c", "b"),
            new("d", not_before=clock()),
        ]
    )

    ready = Doorbell(task_id=TaskId("b"), name="sample.add", queue="q", priority=3)
    due = Doorbell(task_id=TaskId("d"), name="sample.add", queue="default", priority=5)
    assert doorbells == [ready, None, None, due]
    assert ledger.tasks.get("a").state is TaskState.SCHEDULED
    assert ledger.tasks.get("a").not_before == later
    assert ledger.tasks.get("c").state is TaskState.WAITING
    assert ledger.tasks.get("c").upstream_id == "b"


def test_the_same_task_twice_is_put_in_once(ledger: Ledger) -> None:
    ledger.tasks.insert([new("a")])

    again = ledger.tasks.insert([new("a"), new("b"), new("b")])

    assert again[0] is None
    assert [bell is not None for bell in again] == [False, True, False]
    assert ledger.tasks.get("a").version == 1


@pytest.mark.parametrize(
    "other",
    [
        new("a", name="sample.subtract"),
        new("a", arguments=Arguments(codec=Codec.JSON, text="[[],{}]")),
        new("a", arguments=Arguments(codec=Codec.TYPED, text='[[1],{"y":2}]')),
    ],
)
def test_another_task_with_a_known_id_is_refused_with_all_that_came_with_it(
    ledger: Ledger, other: NewTask
) -> None:
    ledger.tasks.insert([new("a")])

    with pytest.raises(TaskIdTakenError) as caught:
        ledger.tasks.insert([new("b"), other], chords=[new_chord("c", 1)])

    assert caught.value.task_id == "a"
    assert ledger.tasks.find("b") is None
    assert ledger.tasks.find_chord("c") is None


def test_a_waiting_task_takes_its_turn_when_it_arrives(desk: Desk) -> None:
    desk.put(new("first"), waiting("a", "first", submitted_by="ada", tags=("red",)))

    arrived = new(
        "a",
        arguments=Arguments(codec=Codec.TYPED, text="[[5],{}]"),
        headers='{"x":1}',
        queue="other",
    )
    (bell,) = desk.ledger.tasks.insert([arrived])

    found = desk.get("a")
    assert bell == Doorbell(task_id=TaskId("a"), name="sample.add", queue="other", priority=5)
    assert (found.state, found.upstream_id) == (TaskState.QUEUED, None)
    assert (found.arguments, found.headers) == (arrived.arguments, '{"x":1}')
    # Whoever sent it on does not know who asked for it.
    assert (found.submitted_by, found.tags) == ("ada", ("red",))
    assert found.version == 2


def test_a_waiting_task_may_arrive_for_later(desk: Desk) -> None:
    desk.put(new("first"), waiting("a", "first"))

    doorbells = desk.ledger.tasks.insert([new("a", not_before=desk.soon(seconds=5))])

    assert doorbells == [None]
    assert desk.state("a") is TaskState.SCHEDULED


def test_a_placeholder_for_a_known_id_changes_nothing(desk: Desk) -> None:
    desk.put(new("a"))

    doorbells = desk.ledger.tasks.insert([waiting("a", "other", name="sample.other")])

    assert doorbells == [None]
    assert (desk.state("a"), desk.get("a").name) == (TaskState.QUEUED, "sample.add")


def test_a_waiting_task_that_is_sent_again_hangs_on_its_new_upstream(desk: Desk) -> None:
    desk.put(new("a"), waiting("body", "a", chord_id="outer", group_index=3))

    desk.put(waiting("body", "c"), chords=[new_chord("c", 1)])

    assert (desk.state("body"), desk.get("body").upstream_id) == (TaskState.WAITING, "c")
    # Its end still counts where it counted.
    (row,) = desk.run_sql("SELECT chord_id FROM tasks WHERE id = 'body'")
    assert row[0] == "outer"


def test_a_task_and_its_own_placeholder_in_one_batch_are_the_task(desk: Desk) -> None:
    doorbells = desk.ledger.tasks.insert([waiting("a", "b"), new("a")])

    assert [bell is not None for bell in doorbells] == [False, True]
    assert desk.state("a") is TaskState.QUEUED


def test_a_chord_that_is_known_is_left_alone(ledger: Ledger) -> None:
    ledger.tasks.insert([], chords=[new_chord("c", 2, body='{"first":1}')])

    ledger.tasks.insert([], chords=[new_chord("c", 5)])

    assert ledger.tasks.find_chord("c") == new_chord("c", 2, body='{"first":1}')


BAD = [
    # Nothing may be claimed before what has priority 9.
    new("bad", priority=10),
    # SQL has no NUL.
    new("b\0ad"),
    new("bad", headers='{"\0":1}'),
    # Half a surrogate pair is no Unicode.
    new("bad", arguments=Arguments(codec=Codec.JSON, text='"\ud800"')),
    new(""),
    # Waits for nothing.
    new("bad", is_waiting=True),
    # More than the column can hold, on one database or the other.
    new("bad", max_attempts=2**70),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_task_that_cannot_be_kept_is_refused(ledger: Ledger, bad: NewTask) -> None:
    with pytest.raises(InvalidOptionError):
        ledger.tasks.insert([new("good"), bad])

    assert ledger.tasks.find("good") is None


def test_a_chord_without_parts_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidOptionError):
        ledger.tasks.insert([], chords=[new_chord("c", 0)])


def test_nothing_to_put_in_is_no_work(ledger: Ledger) -> None:
    assert ledger.tasks.insert([]) == []


@pytest.mark.parametrize("task_id", ["unknown", "\0", "\ud800"])
def test_an_unknown_id_is_said_to_be_unknown(ledger: Ledger, task_id: str) -> None:
    assert ledger.tasks.find(task_id) is None
    assert ledger.tasks.attempts(task_id) == ()
    assert ledger.tasks.children_of(task_id) == ()
    assert ledger.tasks.find_chord(task_id) is None
    with pytest.raises(TaskNotFoundError):
        ledger.tasks.get(task_id)
    with pytest.raises(TaskNotFoundError):
        ledger.tasks.request_cancel(task_id)


def test_many_tasks_are_found_at_once(ledger: Ledger) -> None:
    ledger.tasks.insert([new(f"t{number}") for number in range(5)])

    found = ledger.tasks.find_many([TaskId("t3"), TaskId("nobody"), TaskId("t1")])

    assert set(found) == {"t1", "t3"}
    assert found[TaskId("t1")].id == "t1"
    assert ledger.tasks.find_many([]) == {}
