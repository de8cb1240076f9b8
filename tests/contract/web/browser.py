"""A browser without JavaScript: keeps cookies, sends the forms of the pages it has seen."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx

from celeriac.core.user import Role
from tests.contract.web.service import PASSWORD, Service

VOID = {"meta", "link", "input", "img", "path", "circle", "rect", "br", "wbr"}


class Page(HTMLParser):
    """What a page holds, as far as tests ask."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.text = response.text
        self.headers = response.headers
        # Every element in order, with its attributes.
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(response.text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another element"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def value(self, name: str) -> str:
        """Return what stands in a field."""
        for attributes in self.all("input"):
            if attributes.get("name") == name:
                return attributes.get("value") or ""
        raise AssertionError(f"no field {name}")


class Browser:
    """One browser with its cookies."""

    def __init__(self, service: Service) -> None:
        self.client = service.client()

    def get(self, path: str) -> Page:
        """Open a page, wherever it leads."""
        return Page(self.client.get(path, follow_redirects=True))

    def send(self, page: Page | str, path: str, **fields: str) -> httpx.Response:
        """Send a form of a page; say where the answer leads without going there."""
        seen = self.get(page) if isinstance(page, str) else page
        hidden = {
            name: seen.value(name)
            for name in ("form_token", "nonce")
            if f'name="{name}"' in seen.text
        }
        return self.client.post(path, data={**hidden, **fields})

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in by the page."""
        return self.send("/ui/sign-in", "/ui/sign-in", name=name, password=password)


def browser_of(service: Service, name: str, role: Role = Role.SUBMITTER) -> Browser:
    """Add a user and return a browser in which they are signed in."""
    service.add_user(name, role)
    browser = Browser(service)
    assert browser.sign_in(name).status_code == 303
    return browser
