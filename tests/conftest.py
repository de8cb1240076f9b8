"""Which tests are run together, and how much of what can be drawn is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# What a property needs to be believed before a change lands; `--hypothesis-profile=default` and
# more examples are for whoever changes it.
# How long something takes says how busy the machine is, and nothing of the code.
settings.register_profile(
    "quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")

# The workers that tests of many files share, one for each; see tests/integration/conftest.py.
_STAGES = (
    *("solo-sqlite", "processes-sqlite", "threads-sqlite"),
    *("solo-postgresql", "processes-postgresql"),
)


class GroupScheduling(LoadScopeScheduling):
    """Gives out tests by groups: those of one group run one after the other, in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return _stage_of(nodeid) or nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling | None:
    """Give out by our groups where whole groups are given out."""
    is_by_group = config.getvalue("dist") == "loadscope"
    return GroupScheduling(config, log) if is_by_group else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the largest groups, so that none is left over when all others have ended."""
    items.sort(key=lambda item: _stage_of(item.nodeid) is None)


def _stage_of(nodeid: str) -> str | None:
    """Return which running worker a test shares; files do not matter then."""
    file, _, test = nodeid.partition("::")
    if not file.startswith("tests/integration/"):
        return None
    _, _, parameters = test.partition("[")
    return next((stage for stage in _STAGES if stage in parameters), None)
