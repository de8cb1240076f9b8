from __future__ import annotations

from celeriac.core.change import Change
from celeriac.core.task import TaskId
from celeriac.web.live.ear import MOST_HEARD, Ear

ONE, TWO = TaskId("one"), TaskId("two")


def test_what_was_heard_is_taken_once() -> None:
    woken: list[int] = []
    ear = Ear(lambda: woken.append(1))
    ear.hear(Change(task_ids=(ONE, TWO), ended={"completed": 1}))
    ear.hear(Change(task_ids=(ONE,), ended={"completed": 1, "failed": 1}))

    heard = ear.take()

    assert heard.task_ids == (ONE, TWO)
    assert heard.ended == {"completed": 2, "failed": 1}
    assert not heard.is_partial
    assert len(woken) == 2
    assert ear.take().task_ids == ()


def test_a_flood_is_kept_short() -> None:
    ear = Ear(lambda: None)
    for number in range(MOST_HEARD + 1):
        ear.hear(Change(task_ids=(TaskId(str(number)),)))

    heard = ear.take()

    assert len(heard.task_ids) == MOST_HEARD
    assert heard.is_partial


def test_who_hears_nothing_knows_that_something_may_have_happened() -> None:
    ear = Ear(lambda: None)
    ear.lose()

    assert ear.take().is_partial
    assert ear.take().is_partial
    ear.hear(Change(is_partial=True))
    back = ear.take()

    assert (back.is_partial, back.is_deaf) == (True, False)
    assert not ear.take().is_partial
