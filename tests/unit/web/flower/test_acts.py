from __future__ import annotations

import pytest

from celeriac.web.flower.acts import act_of
from tests.unit.web.flower.test_rules import CHANGING


@pytest.mark.parametrize(
    ("path", "action", "subject"),
    [
        ("/api/worker/shutdown/w@host", "worker.shutdown", "w@host"),
        ("/api/worker/pool/grow/w%40host", "worker.pool_grow", "w@host"),
        ("/api/worker/queue/add-consumer/w@host", "worker.add_consumer", "w@host"),
        # Our own word: Flower's revoke cancels the task.
        ("/api/task/revoke/abc", "task.cancel", "abc"),
        ("/api/task/rate-limit/text.wordcount", "task.rate_limit", "text.wordcount"),
        # A task's name may hold anything.
        ("/api/task/timeout/a/b", "task.timeout", "a/b"),
    ],
)
def test_an_act_is_told_in_our_words(path: str, action: str, subject: str) -> None:
    act = act_of(path, "", "")

    assert act is not None
    assert (act.action, act.subject) == (action, subject)


def test_the_list_of_tasks_is_no_act() -> None:
    assert act_of("/tasks/datatable", "draw=1", "") is None


@pytest.mark.parametrize("path", CHANGING)
def test_nothing_that_may_be_changed_is_left_out(path: str) -> None:
    assert act_of(path, "", "") is not None


def test_what_was_asked_for_is_kept_and_nothing_else() -> None:
    act = act_of(
        "/api/task/revoke/1", "terminate=true&token=canary", "signal=SIGKILL&n=" + "9" * 999
    )

    assert act is not None
    assert act.facts == {
        "via": "flower",
        "terminate": "true",
        "signal": "SIGKILL",
        "n": "9" * 200,
    }


def test_a_form_of_too_many_fields_is_still_an_act() -> None:
    act = act_of("/api/worker/shutdown/w", "", "&".join(["n=1"] * 1000))

    assert act is not None
    assert act.facts == {"via": "flower"}
