"""The hub's end, whatever became of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.web.live.events import Topics
from celeriac.web.live.hub import Hub


def test_a_hub_that_failed_keeps_nobody_from_ending_in_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a hub that cannot listen, for a reason that nobody thought of
    def listen(*_: Any) -> Any:
        raise RuntimeError("deaf")

    async def watch_and_end() -> None:
        ledger: Any = None
        hub = Hub(listen, ledger, now=lambda: datetime.now(UTC))
        hub.enter(asyncio.Event(), Topics(tasks=True))

        # when the service ends
        await hub.closed()

    asyncio.run(watch_and_end())

    # then it goes on to end, and the reason is in the log
    assert "deaf" in caplog.text
