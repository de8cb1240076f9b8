"""Durations as people type them: 90, 90s, 5m, 2h, 7d."""

from __future__ import annotations

import math
from datetime import timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_SECONDS = 86400 * 3660


class Duration(click.ParamType[timedelta]):
    """A number of seconds, or a number with its unit."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return what was typed as a duration."""
        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        unit = _UNITS.get(text[-1:], 0)
        try:
            seconds = float(text[:-1] if unit else text) * (unit or 1)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= _MOST_SECONDS:
            self.fail(f"{text!r} is no duration such as 90s, 5m, 2h or 7d", param, ctx)
        return timedelta(seconds=seconds)


DURATION = Duration()
