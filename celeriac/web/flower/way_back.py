"""The way back from a page of Flower's to ours: a pure function of the page.

Flower knows nothing of the service it is shown in. The link is plain HTML, so that the strict
policy of these pages needs no exception for it.
"""

from __future__ import annotations

# Begins the list of its pages, since Flower 2.1.
_NAVIGATION = b'<ul class="app-nav navbar-nav">'
_LINK = b'<li class="nav-item"><a class="nav-link" href="/ui">\xe2\x86\x90 Celeriac</a></li>'


def with_way_back(page: bytes) -> bytes:
    """Return a page of Flower's with a link to our pages first in its navigation.

    A page without that navigation stays as it is.
    """
    return page.replace(_NAVIGATION, _NAVIGATION + _LINK, 1)
