"""What a broker tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFacts:
    """A broker that answered, as far as it says what it is."""

    # For people: Valkey 9.1.0.
    product: str
    # How long it took to answer.
    answer_seconds: float
    # What it does when its memory is full; None when it does not say.
    eviction_policy: str | None = None
    # How much it may hold; 0 is as much as there is.
    most_bytes: int = 0
    # Keys it has thrown away since it started.
    evicted: int = 0
    # It writes down every change, or now and then; None when it does not say.
    is_persistent: bool | None = None
    # Its last try to write down what it holds failed.
    is_write_failing: bool = False
