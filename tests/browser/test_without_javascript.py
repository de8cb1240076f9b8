"""The pages where no script runs: each is whole, and forms lead on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.machine import UpProcess, add_user
from tests.browser.test_flows import PASSWORD, open_form, submit

NAME = "noscript"


@pytest.fixture(scope="module")
def account(machine: UpProcess) -> str:
    """The name of somebody who has done nothing yet."""
    add_user(NAME, PASSWORD, machine.settings)
    return NAME


@pytest.fixture
def plain(chromium: Browser, machine: UpProcess, account: str) -> Iterator[Page]:
    """A page of theirs, in a browser that runs no script."""
    context = chromium.new_context(base_url=machine.url, java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto("/ui/sign-in")
    page.get_by_label("Name").fill(account)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    yield page
    context.close()


def refresh_until_ended(page: Page) -> None:
    """Press the link that stands there for whoever has no script, as long as it does."""
    refresh = page.get_by_role("link", name="Refresh")
    while refresh.is_visible():
        page.wait_for_timeout(300)
        refresh.click()


def test_a_first_step_is_taken(plain: Page) -> None:
    plain.goto("/ui/first-steps")
    step = plain.locator("#step-text")
    expect(step.locator("h2")).not_to_contain_text("Done")
    # The same for a terminal, curl and Python: one at a time, by no script
    step.get_by_text("curl", exact=True).click()
    expect(step.locator(".way:visible")).to_contain_text("curl")
    # What needs a script is not there to be tried in vain
    expect(plain.get_by_role("button", name="Copy")).to_have_count(0)

    plain.get_by_role("link", name="Run it: Run a text task").click()
    submit(plain)
    refresh_until_ended(plain)
    expect(plain.locator("#heading .state")).to_have_text("completed")
    plain.goto("/ui/first-steps")

    expect(step.locator("h2")).to_contain_text("Done")


def test_a_key_is_made_and_lets_in(plain: Page, machine: UpProcess) -> None:
    plain.goto("/ui/first-steps")

    plain.get_by_role("button", name="Use it from your app").click()

    key = plain.locator("#key").inner_text().strip()
    answer = httpx.get(f"{machine.url}/tasks", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    plain.get_by_text("curl", exact=True).click()
    expect(plain.locator(".way:visible")).to_contain_text(key)
    plain.get_by_role("link", name="Back to the first steps").click()
    expect(plain.get_by_role("heading", name="First steps")).to_be_visible()


def test_the_list_is_filtered(plain: Page) -> None:
    for name, text in (("text.wordcount", "one two"), ("numbers.primes", "100")):
        open_form(plain, name)
        plain.get_by_role("textbox").first.fill(text)
        submit(plain)
        refresh_until_ended(plain)
    plain.goto("/ui/tasks")
    plain.get_by_label("Task", exact=True).select_option("numbers.primes")

    plain.get_by_role("button", name="Show").click()

    expect(plain.locator(".what > a")).to_have_text(["numbers.primes"])
    expect(plain.get_by_label("Task", exact=True)).to_have_value("numbers.primes")
    plain.get_by_label("State").select_option("cancelled")
    plain.get_by_role("button", name="Show").click()
    expect(plain.get_by_text("No task fits.")).to_be_visible()
    plain.get_by_role("link", name="Show all of yours").click()
    expect(plain.locator(".what > a", has_text="text.wordcount").first).to_be_visible()
