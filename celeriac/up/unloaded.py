"""Tells once of each task module that cannot be imported, however many programs say so."""

from __future__ import annotations

import re
from collections.abc import Sequence

from celeriac.up.member import Say
from celeriac.up.report import unloaded_lines

_PROBLEM = re.compile(r"the task module \S+ cannot be imported: .*")


class Unloaded:
    """The task modules that programs could not import."""

    def __init__(self, say: Say, *, has_reload: bool) -> None:
        """Begin; nothing is told before `tell`.

        Args:
            say: Where to tell.
            has_reload: Whether changed code is taken up.
        """
        self._say = say
        self._has_reload = has_reload
        self._known: dict[str, None] = {}
        self._is_held = True

    def take(self, line: str) -> bool:
        """Take over a line of a log that is about such a module; say whether it is one."""
        found = _PROBLEM.search(line)
        if found is None:
            return False
        if found[0] not in self._known:
            self._known[found[0]] = None
            if not self._is_held:
                self._tell([found[0]])
        return True

    def tell(self, problems: Sequence[str]) -> None:
        """Tell what was held back until somebody reads, with what the service says itself."""
        self._known.update(dict.fromkeys(problems))
        self._is_held = False
        self._tell(list(self._known))

    def _tell(self, problems: Sequence[str]) -> None:
        for line in unloaded_lines(problems, has_reload=self._has_reload):
            self._say(line)
