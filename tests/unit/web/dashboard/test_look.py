"""The colours can be told apart, in both looks; the templates hold nothing that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import celeriac.web.dashboard

FOLDER = Path(celeriac.web.dashboard.__file__).parent
TOKEN = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
INKS = ("ink", "faint", "accent", "ok", "bad", "busy", "calm", "warn")
GROUNDS = ("ground", "card", "sunk")
PAIRS = [(ink, ground, 4.5) for ink in INKS for ground in GROUNDS] + [
    ("accent-ink", "accent", 4.5),
    ("ink", "accent-soft", 4.5),
    ("accent", "accent-soft", 4.5),
    ("ink", "bad-soft", 4.5),
    ("card", "warn", 4.5),
    # what is no text: the edge of a field, the ring round what has the focus
    ("line-strong", "card", 3.0),
    ("focus", "card", 3.0),
    ("focus", "ground", 3.0),
]


def tokens(look: int) -> dict[str, str]:
    css = (FOLDER / "static" / "celeriac.css").read_text()
    return {found[1]: found[2 + look] for found in TOKEN.finditer(css)}


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_every_ink_can_be_read_on_its_ground(
    look: int, ink: str, ground: str, least: float
) -> None:
    colours = tokens(look)
    bright, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)

    assert (bright + 0.05) / (dark + 0.05) >= least


@pytest.mark.parametrize(
    "path", sorted((FOLDER / "templates").iterdir()), ids=lambda path: path.name
)
def test_a_template_holds_nothing_inline(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"\son[a-z]+=|\sstyle=|<style|javascript:|\|\s*safe", text)
    assert re.findall(r"<script(?! src=)", text) == []


def test_the_script_makes_no_code_out_of_text() -> None:
    script = (FOLDER / "static" / "live.js").read_text()

    assert not re.search(r"\beval\b|new Function|innerHTML|document\.write|setTimeout\(\"", script)
