"""Who may watch, and for how long: few streams each, and none for somebody who was shown out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from celeriac.errors import NotAuthenticatedError, UnavailableError
from celeriac.service.callers import Caller
from celeriac.web.refusals import BusyError, TooManyStreamsError

# A browser opens six connections to a host at most, and some have two browsers.
MOST_EACH = 12
MOST_OF_ALL = 1000
# How long somebody who was shown out goes on watching, at most.
CHECKED_SECONDS = 5.0

Again = Callable[[], Caller]


class Guests:
    """The streams that are open, by whose they are."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()
        # By credential, so that all streams of one session ask once.
        self._checked: dict[str, tuple[float, Caller | None]] = {}

    @contextmanager
    def seat(self, key: str, credential: str, who: Caller) -> Iterator[None]:
        """Hold a place for one stream.

        Args:
            key: Whose it is.
            credential: What was shown.
            who: Whom that stands for now.

        Raises:
            TooManyStreamsError: The caller has as many as one may have.
            BusyError: All places are taken.
        """
        if self._open[key] >= MOST_EACH:
            raise TooManyStreamsError(MOST_EACH)
        if self._open.total() >= MOST_OF_ALL:
            raise BusyError
        self._open[key] += 1
        self._shown[credential] += 1
        self._checked[credential] = (time.monotonic(), who)
        try:
            yield
        finally:
            self._open[key] -= 1
            self._shown[credential] -= 1
            if not self._open[key]:
                del self._open[key]
            if not self._shown[credential]:
                del self._shown[credential], self._checked[credential]

    async def check(self, credential: str, again: Again) -> Caller | None:
        """Return who a credential stands for now; None when it is good no more."""
        now = time.monotonic()
        checked_at, caller = self._checked[credential]
        if now - checked_at < CHECKED_SECONDS:
            return caller
        # Before the answer is there, so that the other streams of this session do not ask as well.
        self._checked[credential] = (now, caller)
        try:
            caller = await run_in_threadpool(again)
        except NotAuthenticatedError:
            caller = None
        except UnavailableError:
            # Nobody can tell; nothing is told either while the ledger is away.
            return caller
        self._checked[credential] = (now, caller)
        return caller
