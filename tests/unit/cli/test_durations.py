from __future__ import annotations

from datetime import timedelta

import click
import pytest

from celeriac.cli.durations import DURATION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("7d", 604800), ("0", 0)],
)
def test_a_duration_is_a_number_with_or_without_its_unit(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "5 minutes", "nan", "inf", "1e99"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)
