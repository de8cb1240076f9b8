from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.acceptance.machine import UpProcess, add_user1
from tests.browser.chromium import find_chromium
from tests.browser.watched import Watched
from tests.servers.processes import PROJECT


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox needs a user who is not root, and what is shown here is our own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """Everything on one machine, as a newcomer starts it."""
    # Pages count their requests, and every test comes from the same address.
    environment = {
        "CELERIAC_RATE_LIMIT": "100000/minute",
        "CELERIAC_LOGIN_LIMIT": "100000/minute",
        "CELERIAC_PROCESS_SECONDS": "2",
    }
    machine = UpProcess(tmp_path_factory.mktemp("browser"), environment=environment)
    machine.start_ready()
    add_user1(machine.settings)
    yield machine
    machine.stop()


@pytest.fixture
def page(chromium: Browser, machine: UpProcess) -> Iterator[Page]:
    """A page of somebody who has not signed in; broken policies and scripts fail the test."""
    context = chromium.new_context(base_url=machine.url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(15_000)
    page = context.new_page()
    watched = Watched(page)
    yield page
    # What a test answers in the service's place may be on its way; it needs the page to its end.
    page.unroute_all(behavior="wait")
    context.close()
    assert watched.complaints == []


@pytest.fixture
def user1(page: Page) -> Page:
    """A page of the user of the walk-through."""
    page.goto("/ui/sign-in")
    page.get_by_label("Name").fill("user1")
    page.get_by_label("Password").fill("password1")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/ui/tasks")
    return page


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where pictures of the pages go, for people to look at."""
    folder = PROJECT / "benchmarks" / "results" / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def context(page: Page) -> BrowserContext:
    """The browser's context, for its cookies and its look."""
    return page.context
