from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celeriac.client.calls import SubmitOptions, get_task, list_tasks, retry_task, submit
from celeriac.core.state import TaskState


def test_what_comes_from_outside_is_quoted_in_a_path() -> None:
    assert get_task("a/../b?c").path == "/tasks/a%2F..%2Fb%3Fc"
    assert submit("näme/x", {}, SubmitOptions()).path == "/tasks/n%C3%A4me%2Fx"


def test_only_options_that_are_given_are_sent() -> None:
    options = SubmitOptions(
        queue="io",
        priority=0,
        delay=timedelta(minutes=1.5),
        expires_at=datetime(2030, 1, 31, 12, tzinfo=UTC),
        tags=("a", "b"),
    )

    assert SubmitOptions().to_params() == ()
    assert options.to_params() == (
        ("queue", "io"),
        ("priority", "0"),
        ("delay_seconds", "90.0"),
        ("expires_at", "2030-01-31T12:00:00+00:00"),
        ("tag", "a"),
        ("tag", "b"),
    )


def test_a_list_is_asked_for_with_every_state_by_itself() -> None:
    call = list_tasks(states=(TaskState.FAILED, TaskState.EXPIRED), name="process", limit=3)

    assert call.params == (
        ("state", "failed"),
        ("state", "expired"),
        ("name", "process"),
        ("limit", "3"),
    )


def test_a_retry_without_changes_sends_no_body() -> None:
    assert retry_task("t1", {}).body is None
    assert retry_task("t1", {"n": 2}).body == {"n": 2}
