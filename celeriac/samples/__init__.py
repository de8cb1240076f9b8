"""Sample tasks, written as a user would write them."""

# What `include` takes.
MODULES = (
    "celeriac.samples.text",
    "celeriac.samples.numbers",
    "celeriac.samples.images",
    "celeriac.samples.flaky",
)
