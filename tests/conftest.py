"""Which tests are run together, and how much of what can be drawn is drawn."""

from __future__ import annotations

import pytest
from hypothesis import settings

# What a property needs to be believed before a change lands; `--hypothesis-profile=default` and
# more examples are for whoever changes it.
settings.register_profile("quick", max_examples=40)
settings.load_profile("quick")


# Before the hook of xdist, which reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its group: those of one group run one after the other, in one process.

    Tests of one running worker share it, whatever their files; all others go by their files. The
    largest groups begin first, so that none of them is left over when all others have ended.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group_of(item)))
    items.sort(key=lambda item: _stage_of(item) is None)


def _group_of(item: pytest.Item) -> str:
    return _stage_of(item) or item.nodeid.partition("::")[0]


def _stage_of(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    stage = callspec.params.get("running_stage") if callspec else None
    return "-".join(stage) if stage else None
