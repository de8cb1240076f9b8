"""Sample tasks, written as a user would write them."""

from __future__ import annotations

from celeriac.settings import Settings

MODULES = (
    "celeriac.samples.text",
    "celeriac.samples.numbers",
    "celeriac.samples.images",
    "celeriac.samples.flaky",
)

# What they are called: a person's own tasks are told before these.
NAMES = frozenset(
    {
        "flaky",
        "image.grayscale",
        "image.thumbnail",
        "numbers.primes",
        "numbers.statistics",
        "process",
        "text.wordcount",
    }
)


def modules_for(settings: Settings) -> tuple[str, ...]:
    """Return what `include` takes: the modules of the samples, none where they are off."""
    return MODULES if settings.samples else ()
