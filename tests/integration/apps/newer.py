"""The conformance app in its next release: with a task function that workers of today lack."""

from __future__ import annotations

from tests.integration.apps.conformance import app


@app.task(name="newer.double")
def double(number: int) -> int:
    """Return twice a number."""
    return 2 * number
