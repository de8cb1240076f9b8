from __future__ import annotations

import pytest

from celeriac.core.state import TaskState
from celeriac.core.task import Glance, TaskId
from celeriac.samples import NAMES
from celeriac.service.first_steps import Step, StepKind, own_step, sample_steps


def glances(*told: str) -> tuple[Glance, ...]:
    """Return tasks, newest first, each told as `name state`."""
    return tuple(
        Glance(id=TaskId(str(number)), name=name, state=TaskState(state))
        for number, (name, state) in enumerate(map(str.split, told))
    )


def steps_after(*told: str) -> dict[StepKind, Step]:
    return {step.kind: step for step in sample_steps(NAMES, glances(*told))}


def test_the_steps_come_in_order_and_propose_a_sample_each() -> None:
    found = [(step.kind.value, step.name, step.is_done) for step in sample_steps(NAMES, ())]

    assert found == [
        ("text", "text.wordcount", False),
        ("numbers", "numbers.primes", False),
        ("picture", "image.thumbnail", False),
        ("error", "image.thumbnail", False),
    ]


def test_a_step_whose_sample_is_not_there_is_left_out_or_proposes_another() -> None:
    found = [(step.kind.value, step.name) for step in sample_steps({"process", "shop.pack"}, ())]

    assert found == [("text", "process")]


@pytest.mark.parametrize(
    ("told", "is_done", "shown"),
    [
        (["text.wordcount completed"], True, "0"),
        # another sample of its kind does
        (["process completed"], True, "0"),
        # the newest that completed is shown, whatever came after it
        (["process running", "process completed", "process completed"], True, "1"),
        # under way
        (["text.wordcount queued", "process failed"], False, "0"),
        # what failed is for the step about errors
        (["text.wordcount failed"], False, None),
        # of another kind
        (["numbers.primes completed", "shop.text completed"], False, None),
    ],
)
def test_a_step_is_done_once_a_task_of_its_kind_completed(
    told: list[str], *, is_done: bool, shown: str | None
) -> None:
    step = steps_after(*told)[StepKind.TEXT]

    assert step.is_done is is_done
    assert (step.task.id if step.task else None) == shown


@pytest.mark.parametrize(
    ("told", "is_done", "shown"),
    [
        ([], False, None),
        # it waits to be mended
        (["image.thumbnail failed"], False, "0"),
        (["shop.pack failed"], False, "0"),
        # it completed first, and failed then
        (["image.thumbnail failed", "image.thumbnail completed"], False, "0"),
        # what completed since is another function's
        (["process completed", "image.thumbnail failed"], False, "1"),
        (["image.thumbnail completed", "image.thumbnail failed"], True, "0"),
        (["image.thumbnail running", "image.thumbnail failed"], False, "1"),
        (["process failed", "process completed", "process failed"], True, "1"),
        # cancelled is no error
        (["process completed", "process cancelled"], False, None),
    ],
)
def test_an_error_is_mended_by_a_later_task_of_the_same_function(
    told: list[str], *, is_done: bool, shown: str | None
) -> None:
    step = steps_after(*told)[StepKind.ERROR]

    assert step.is_done is is_done
    assert (step.task.id if step.task else None) == shown


def test_what_two_submitters_did_counts_together() -> None:
    own, local = glances("process completed"), glances("numbers.primes completed")

    found = sample_steps(NAMES, own, local)

    assert [step.is_done for step in found] == [True, True, False, False]


def test_a_task_of_ones_own_is_any_that_is_no_sample() -> None:
    assert not own_step("shop.pack", glances("process completed")).is_done
    assert own_step("shop.pack", glances("shop.send completed")).is_done
