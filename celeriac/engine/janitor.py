"""The janitor: one leader among all workers and API processes that keeps the ledger moving.

It promotes what is due, rings again for what the broker forgot, and takes back what a dead worker
held. Every write of its is compare-and-set, so that two leaders for a moment only waste work; no
decision of its reads a wall clock.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from celeriac.engine.broker import BrokerView
from celeriac.engine.file_sweeper import FileSweeper
from celeriac.engine.reaper import Reaper
from celeriac.engine.ringer import Ringer
from celeriac.engine.runtime import Engine
from celeriac.errors import LedgerUnavailableError, UnavailableError
from celeriac.ledger.leadership import NOBODY, LeaseView
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

_NAME = "janitor"
_TURN_SECONDS = 0.2
_KEEP_SECONDS = 1.0
# A leader that stood still for this long is followed by another.
_LEADER_SECONDS = 5.0


class Leadership:
    """Whether this process leads, by a row that the leader keeps moving."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._is_leader = False
        self._seen: LeaseView | None = None
        self._seen_at = 0.0
        self._asked_at = float("-inf")

    def is_mine(self, ledger: Ledger, now: float, *, is_fit: bool = True) -> bool:
        """Keep, look for or take the leadership, at most once a second.

        Args:
            ledger: Where it is written who leads.
            now: By the monotonic clock.
            is_fit: Whether this process can do all that a leader does. If not, it leaves those that
                can some time to come first.
        """
        if now - self._asked_at < _KEEP_SECONDS:
            return self._is_leader
        # A process that could not look for a while has seen nothing stand still.
        if now - self._asked_at > _LEADER_SECONDS:
            self._seen = None
        self._asked_at = now
        if self._is_leader and ledger.sweeps.keep_leadership(_NAME, self._holder):
            return True
        self._is_leader = self._try(ledger, now, is_fit=is_fit)
        return self._is_leader

    @property
    def is_held(self) -> bool:
        """Whether this process led when it last looked."""
        return self._is_leader

    def resign(self, ledger: Ledger) -> None:
        """Let another one lead at once."""
        if self._is_leader:
            self._is_leader = False
            ledger.sweeps.leave_leadership(_NAME, self._holder)

    def _try(self, ledger: Ledger, now: float, *, is_fit: bool) -> bool:
        current = ledger.sweeps.leadership(_NAME)
        # The row of a leader that resigned stays, without a holder.
        is_vacant = current.holder == NOBODY.holder
        if not (is_vacant and is_fit):
            if current != self._seen:
                self._seen, self._seen_at = current, now
                return False
            if now - self._seen_at < _LEADER_SECONDS:
                return False
        return ledger.sweeps.take_leadership(_NAME, self._holder, current.sequence)


class Janitor:
    """The janitor's thread in one process."""

    def __init__(self, app: Any, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._engine: Engine = app.celeriac
        self._monotonic = monotonic
        self._leadership = Leadership(secrets.token_hex(8))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celeriac-janitor", daemon=True)
        self._due: dict[str, float] = {}
        self._files = FileSweeper(self._engine.files)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let another process lead at once."""
        self._stopping.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        view = BrokerView(self._app)
        ringer = Ringer(self._engine, view, self._monotonic)
        reaper = Reaper(self._engine, self._monotonic)
        while not self._stopping.wait(_TURN_SECONDS):
            try:
                # Whoever leads: each process knows for itself what it could not tell.
                self._engine.tell_missed()
                self._turn(self._engine.ledger, ringer, reaper)
            except LedgerUnavailableError as error:
                reaper.look_away()
                logger.debug("the janitor waits for the ledger", extra={"error": str(error)})
            except UnavailableError as error:
                # A broker that is away hides no heart that stands still.
                logger.debug("the janitor waits", extra={"error": str(error)})
            except Exception:
                # A broken turn must not end the only thread that brings tasks back.
                logger.exception("a turn of the janitor failed")
        view.close()
        try:
            self._leadership.resign(self._engine.ledger)
        except UnavailableError:
            # Whoever leads next sees this leader stand still.
            return

    def _turn(self, ledger: Ledger, ringer: Ringer, reaper: Reaper) -> None:
        now = self._monotonic()
        led_before = self._leadership.is_held
        if not self._leadership.is_mine(ledger, now, is_fit=not ringer.is_away):
            return
        if not led_before:
            ringer.begin()
        # A backlog of due tasks is promoted in bites; the next turn takes the next one.
        self._engine.publisher.ring(ledger.sweeps.promote())
        if self._is_due("expire", now, every=1.0):
            self._engine.tell_ended(ledger.sweeps.expire())
        if self._is_due("reap", now, every=0.5):
            for queue in reaper.reap(ledger):
                ringer.forget(queue)
        if self._is_due("ring", now, every=1.0):
            ringer.ring(ledger)
        if self._is_due("parked", now, every=2.0):
            ringer.give_back_parked(ledger)
        if self._is_due("reservations", now, every=5.0):
            ledger.submissions.forget_reservations()
        if self._is_due("orphans", now, every=10.0):
            self._engine.tell_ended(ledger.sweeps.fail_orphans())
        self._files.sweep(ledger, now)
        if ringer.is_away_for_long:
            # Its broker may be one that everybody else has left, as a worker's that was not told
            # of a new one: then those who reach theirs would wait for it for ever.
            ringer.hand_over(ledger)
            self._leadership.resign(ledger)

    def _is_due(self, what: str, now: float, *, every: float) -> bool:
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True
