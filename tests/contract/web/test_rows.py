"""The rows of a list, asked for again."""

from __future__ import annotations

import pytest

from celeriac.core.user import Role
from tests.contract.web.browser import Browser, Page, browser_of
from tests.contract.web.service import Service
from tests.contract.web.test_pages import HOSTILE, finish, submit


@pytest.fixture
def ada(service: Service) -> Browser:
    """A browser in which Ada is signed in."""
    return browser_of(service, "ada")


def ask(browser: Browser, *paths: str, tag: str = "", **more: str) -> Page:
    ids = [path.rpartition("/")[2] for path in paths]
    headers = {"if-none-match": tag} if tag else {}
    return Page(browser.client.get("/ui/tasks/rows", params={"ids": ids, **more}, headers=headers))


def rows_of(page: Page) -> list[str | None]:
    return [each["data-task"] for each in page.all("tr") if "data-task" in each]


def test_rows_are_those_of_the_list(ada: Browser) -> None:
    one, two = submit(ada, HOSTILE), submit(ada)

    page = ask(ada, one, two)

    assert [f"/ui/tasks/{each}" for each in rows_of(page)] == [one, two]
    in_list = ada.get("/ui/tasks").text
    assert page.text.partition("<tr")[2].partition("</tr>")[0] in in_list


def test_rows_of_others_are_left_out(service: Service, ada: Browser) -> None:
    own = submit(ada)
    others = submit(browser_of(service, "bert"))
    operator = browser_of(service, "olga", Role.OPERATOR)

    assert len(rows_of(ask(ada, others, own, "/none", whose="all"))) == 1
    assert "by ada" not in ask(ada, own, whose="all").text
    assert "by bert" in ask(operator, others, whose="all").text
    assert "by bert" not in ask(operator, others).text


def test_rows_that_have_not_changed_are_not_sent_again(service: Service, ada: Browser) -> None:
    path = submit(ada)
    tag = ask(ada, path).headers["etag"]

    unchanged = ask(ada, path, tag=tag)
    finish(service, path)
    changed = ask(ada, path, tag=tag)

    assert (unchanged.status, unchanged.text) == (304, "")
    assert changed.status == 200
    assert changed.headers["etag"] != tag


def test_more_rows_than_a_list_has_are_refused(ada: Browser) -> None:
    assert ask(ada, *(str(number) for number in range(201))).status == 422
