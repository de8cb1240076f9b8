"""Deleting files that nobody holds on to: of tasks that are gone, and of what never became one.

A file is written before the row that speaks of it, so that at any moment some have no row yet. One
that has none at two looks, an hour apart by our own monotonic clock, will have none.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from itertools import islice

from celeriac.core.file_reference import FileId
from celeriac.files.store import FileStore
from celeriac.ledger.open import Ledger

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 3600.0
# Between two walks through all files.
_PAUSE_SECONDS = 600.0
# The janitor comes by five times a second while it leads and the ledger answers.
_LONGEST_GAP_SECONDS = 60.0
# Files looked at in one turn of the janitor, which has more to do.
_BITE = 500
# The setting in which the ledger keeps its own name, as it stands in the files' folder.
OWNER_SETTING = "files_owner"


class FileSweeper:
    """What one janitor has seen of the files."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        # Since when nobody was seen to hold on to a file.
        self._lonely: dict[FileId, float] = {}
        self._seen: set[FileId] = set()
        self._walk: Iterator[FileId] | None = None
        self._next_walk = 0.0
        self._came_at = float("-inf")

    def sweep(self, ledger: Ledger, now: float) -> int:
        """Look at some files, and return how many were deleted.

        Args:
            ledger: Whose files they are.
            now: By a clock that only goes on, in seconds.
        """
        if now - self._came_at > _LONGEST_GAP_SECONDS:
            # The ledger was away, and whoever has a row to write is only about to do so.
            self._lonely, self._walk = {}, None
        self._came_at = now
        if self._walk is None:
            if now < self._next_walk:
                return 0
            self._next_walk = now + _PAUSE_SECONDS
            if not self._store.belongs_to(_owner(ledger)):
                return 0
            self._walk, self._seen = self._store.walk(), set()
        bite = list(islice(self._walk, _BITE))
        if not bite:
            # What is gone by other ways need not be remembered.
            self._lonely = {each: at for each, at in self._lonely.items() if each in self._seen}
            self._walk = None
            return 0
        self._seen.update(bite)
        return self._look(ledger, bite, now)

    def _look(self, ledger: Ledger, bite: list[FileId], now: float) -> int:
        held = ledger.sweeps.held_files(bite)
        for each in held:
            self._lonely.pop(each, None)
        over = [
            each
            for each in bite
            if each not in held and now - self._lonely.setdefault(each, now) >= _PATIENCE_SECONDS
        ]
        if over:
            self._store.remove(over)
            ledger.sweeps.release_files(over)
            logger.info("files were deleted that no task holds on to", extra={"files": len(over)})
        return len(over)


def _owner(ledger: Ledger) -> str:
    return ledger.settings.put_first(OWNER_SETTING, secrets.token_hex(16))
