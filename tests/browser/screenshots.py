"""Pictures of pages, in both looks and two widths, for people to look at."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

LOOKS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = ((390, 844), (1280, 800))
# Narrower by the width of a bar at its side than the window is, where there is one.
_SIDEWAYS = """(() => {
    const page = document.documentElement;
    return [page.scrollWidth, page.clientWidth];
})()"""


def take(page: Page, folder: Path, name: str) -> None:
    """Take a page's pictures: dark and light, on a phone and on a desk, where it is left.

    Raises:
        AssertionError: In one of them the page is wider than its window.
    """
    for look, (width, height) in product(LOOKS, SIZES):
        page.emulate_media(color_scheme=look)
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=folder / f"{name}-{look}-{width}.png", full_page=True)
        refuse_wide_page(page, f"{name}, {look}, {width}")


def refuse_wide_page(page: Page, what: str) -> None:
    """See to it that a page fits its window: nobody should scroll sideways.

    Raises:
        AssertionError: It is wider.
    """
    needed, there = page.evaluate(_SIDEWAYS)
    assert needed <= there, f"{what}: {needed} px wide in a window of {there} px"
