"""What one exchange of a worker with the ledger brings."""

from __future__ import annotations

from dataclasses import dataclass, field

from celeriac.core.outcome import Ended, Outcome
from celeriac.core.task import ClaimedTask, Doorbell, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What one exchange of a worker with the ledger brought."""

    # What it may run, in the order in which it was wanted.
    claimed: tuple[ClaimedTask, ...] = ()
    # Wanted, and not claimed: taken, ended, cancelled, expired, of another queue, or unknown.
    refused: tuple[TaskId, ...] = ()
    # Outcomes whose lease was gone: nothing of them was written.
    lost: tuple[TaskId, ...] = ()
    # Rows that became final, also those that ended because of these.
    ended: tuple[Ended, ...] = ()
    # Tasks that are ready now, to be rung.
    doorbells: tuple[Doorbell, ...] = ()
    # Tasks this worker holds that somebody cancelled; looked for four times a second, and named
    # again each time until they end.
    cancelled_running: tuple[TaskId, ...] = ()
    # The worker is not known, so that nothing was claimed: it was reaped, or never joined.
    is_reaped: bool = False


@dataclass(slots=True)
class Settled:
    """What one transaction of an exchange made true, while it is being written."""

    claimed: list[ClaimedTask] = field(default_factory=list)
    lost: list[Outcome] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    doorbells: list[Doorbell] = field(default_factory=list)
    is_reaped: bool = False
    # Among the claimed is one that must not run again if it ran at all; told of on SQLite alone.
    is_any_at_most_once: bool = False

    def add(self, other: Settled) -> None:
        """Take what another transaction of the same exchange made true."""
        self.claimed += other.claimed
        self.lost += other.lost
        self.ended += other.ended
        self.doorbells += other.doorbells
        self.is_reaped = self.is_reaped or other.is_reaped
        self.is_any_at_most_once |= other.is_any_at_most_once
