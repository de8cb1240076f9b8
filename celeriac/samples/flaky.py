"""A sample task that fails before it succeeds."""

from __future__ import annotations

from datetime import timedelta

from celeriac import current, task

FAILURES = 2


@task(name="flaky", retries=3, retry_pause=timedelta(milliseconds=200))
def flaky() -> str:
    """Fail twice, then succeed, as a service far away would."""
    attempt = current().attempt
    if attempt <= FAILURES:
        raise ConnectionError(f"attempt {attempt} found nobody there")
    return f"Succeeded on attempt {attempt}"
