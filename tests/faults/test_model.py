"""The protocol's promises, checked over every state it can reach."""

from __future__ import annotations

import pytest

from tests.faults.protocol import Guards, explore


@pytest.mark.parametrize("effect", ["transaction", "keyed", "once"])
def test_protocol_keeps_every_promise_in_every_reachable_state(effect: str) -> None:
    guards = Guards(effect=effect)

    states, broken = explore(guards)

    assert broken == set()
    # A model that reaches little proves little.
    assert states > 5_000


@pytest.mark.parametrize(
    ("guards", "promise"),
    [
        # The completion asks for a running row, not for its own lease.
        (Guards(completion_needs_token=False), "a stale attempt overwrote a newer one"),
        # The completion asks for the id only.
        (
            Guards(completion_needs_token=False, completion_needs_running=False),
            "a final state changed",
        ),
        # The janitor writes what was true when it looked.
        (Guards(janitor_compares=False), "a final state changed"),
        # A second doorbell is as good as a first one.
        (Guards(claim_needs_queued=False), "run again although nothing was interrupted"),
        # Nobody looks for rows whose doorbell is gone.
        (Guards(sweep=False), "accepted, then stuck for ever"),
        # The service says 202 and dies before it commits.
        (Guards(commit_before_answer=False), "accepted, then stuck for ever"),
        # The effect is elsewhere, has no key, and the task runs again.
        (Guards(effect="external"), "two effects"),
    ],
)
def test_protocol_breaks_a_promise_when_a_guard_is_taken_away(guards: Guards, promise: str) -> None:
    _, broken = explore(guards, until=promise)

    assert promise in broken
