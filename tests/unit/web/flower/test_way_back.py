from __future__ import annotations

from pathlib import Path

import flower

from celeriac.web.flower.way_back import with_way_back

NAVIGATION = (Path(flower.__file__).parent / "templates" / "navbar.html").read_bytes()


def test_the_navigation_of_flower_leads_back_to_our_pages_once() -> None:
    page = with_way_back(NAVIGATION)

    assert page.count(b'href="/ui"') == 1
    assert page.index(b'href="/ui"') < page.index(b"Workers</a>")


def test_what_is_no_page_of_flowers_stays_as_it_is() -> None:
    assert with_way_back(b"<p>Something else</p>") == b"<p>Something else</p>"
