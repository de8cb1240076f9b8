"""Shows what workers said beside a test that failed: a conftest makes the hook its own."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.stage import Stage

_LINES = 40


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last lines of each worker on the test's stage."""
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.failed and isinstance(stage, Stage):
        for worker in stage.workers:
            lines = worker.log_text().splitlines()[-_LINES:]
            report.sections.append((f"the log of {worker.name}", "\n".join(lines)))
    return report
