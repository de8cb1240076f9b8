from __future__ import annotations

import io
import signal
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac.up.report import Printer, style_for
from celeriac.up.single import OneProcess, _StopRequestedError


class Part:
    """Something that takes its time to get ready."""

    def __init__(self) -> None:
        self.is_alive = False

    def start(self) -> None:
        self.is_alive = True

    def stop(self) -> None:
        self.is_alive = False


def test_whoever_is_told_to_end_while_a_part_gets_ready_ends_that_part(tmp_path: Path) -> None:
    around: Any = SimpleNamespace(
        settings=SimpleNamespace(ledger_url=f"sqlite:///{tmp_path / 'ledger.db'}")
    )
    screen = io.StringIO()
    one, part = OneProcess(around, Printer(screen, style_for(screen, {})), began=0.0), Part()
    one._signals.put(signal.SIGINT)

    with ExitStack() as ends, pytest.raises(_StopRequestedError):
        one._start_part(ends, "worker", part, stop=part.stop, find_ready=lambda: None)

    assert not part.is_alive
