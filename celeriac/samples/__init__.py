"""Sample tasks, written as a user would write them."""

# What `include` takes.
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
