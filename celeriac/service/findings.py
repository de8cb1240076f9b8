"""What somebody who looks at an installation finds, and how bad it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "good"
    # Works, and somebody should know.
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    verdict: Verdict
    text: str
    # What helps; empty when nothing has to.
    fix: str = ""


def good(text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(verdict=Verdict.GOOD, text=text)


def warning(text: str, fix: str) -> Finding:
    """Return that something works and should be otherwise."""
    return Finding(verdict=Verdict.WARNING, text=text, fix=fix)


def problem(text: str, fix: str) -> Finding:
    """Return that something is wrong."""
    return Finding(verdict=Verdict.PROBLEM, text=text, fix=fix)


def is_sound(findings: Sequence[Finding]) -> bool:
    """Return whether nothing is wrong; warnings do not count."""
    return all(each.verdict is not Verdict.PROBLEM for each in findings)
