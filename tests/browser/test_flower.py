"""Flower's own pages, through our sign-in, in a real browser before a real machine."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.acceptance.machine import UpProcess, add_user
from tests.browser.screenshots import LOOKS
from tests.browser.test_flows import open_form, submit
from tests.browser.watched import Watched
from tests.servers.processes import wait_until

PASSWORD = "four walnut umbrellas dancing"
WORKER = f"celeriac@{socket.gethostname()}"
ROLES = ("operator", "viewer")


@pytest.fixture(scope="module")
def staff(machine: UpProcess) -> None:
    """One of each who has to do with Flower."""
    for role in ROLES:
        add_user(role, PASSWORD, machine.settings, "--role", role)


def sign_in(page: Page, name: str) -> None:
    page.goto("/ui/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/ui/tasks")


@pytest.fixture
def operator(staff: None, page: Page) -> Page:
    """A page of an operator."""
    sign_in(page, "operator")
    return page


@pytest.fixture
def viewer(staff: None, chromium: Browser, machine: UpProcess) -> Iterator[Page]:
    """A page of a viewer."""
    context = chromium.new_context(base_url=machine.url, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    watched = Watched(page)
    sign_in(page, "viewer")
    yield page
    context.close()
    assert watched.complaints == []


def open_flower(page: Page) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Flower").click()
    expect(page.locator("#workers-refresh-status")).to_contain_text("Updated", ignore_case=True)


def test_an_operator_goes_through_flowers_pages(operator: Page, pictures: Path) -> None:
    open_flower(operator)
    expect(operator.locator("#workers-table")).to_contain_text("celeriac@")
    for look, width in itertools.product(LOOKS, (1280, 390)):
        operator.emulate_media(color_scheme=look)
        operator.set_viewport_size({"width": width, "height": 800})
        operator.screenshot(path=pictures / f"flower-{look}-{width}.png", full_page=True)
    operator.set_viewport_size({"width": 1280, "height": 800})

    operator.locator("#workers-table a.worker-name-link").first.click()
    expect(operator.get_by_role("tab", name="Pool")).to_be_visible()
    operator.get_by_role("tab", name="Queues").click()
    expect(operator.locator("#tab-queues")).to_contain_text("default")
    operator.goto("/flower/broker")
    expect(operator.locator("main")).to_contain_text("default")


def test_an_operator_sees_a_task_end(operator: Page) -> None:
    open_form(operator, "process")
    operator.get_by_role("textbox").first.fill("seen in Flower")
    submit(operator)
    expect(operator.locator("#heading .state")).to_have_text("completed")
    task_id = operator.url.rpartition("/")[2]

    operator.goto("/flower/tasks")
    row = operator.locator(f"[id='{task_id}']")
    expect(row).to_contain_text("process")
    operator.goto(f"/flower/task/{task_id}")

    expect(operator.locator("main")).to_contain_text("SUCCESS")


def test_a_button_of_flowers_works_for_an_operator(operator: Page) -> None:
    operator.goto(f"/flower/worker/{WORKER}")
    operator.get_by_role("tab", name="Limits").click()
    operator.get_by_label("Rate limit for text.wordcount").fill("1000")

    operator.locator("[id='task-rate-limit-text.wordcount']").click()

    expect(operator.locator("#toast-container")).to_contain_text("new rate limit")


def test_a_viewer_looks_and_no_button_works(viewer: Page, machine: UpProcess) -> None:
    open_flower(viewer)
    expect(viewer.locator("#workers-table")).to_contain_text("celeriac@")
    viewer.goto("/flower/tasks")
    expect(viewer.locator("#tasks-table")).to_contain_text("No tasks have been received")

    done = viewer.evaluate(
        """async (worker) => {
            const paths = ["worker/shutdown/" + worker, "worker/pool/restart/" + worker,
                "worker/pool/grow/" + worker, "worker/queue/cancel-consumer/" + worker,
                "task/revoke/x", "task/rate-limit/process"];
            const answers = [];
            for (const path of paths) {
                const answer = await fetch("/flower/api/" + path, { method: "POST" });
                answers.push(answer.status);
            }
            return answers;
        }""",
        WORKER,
    )
    viewer.goto("/flower/")
    viewer.locator("#workers-table a.worker-name-link").first.click()

    assert done == [403] * 6
    expect(viewer.get_by_role("heading", name="This is not allowed")).to_be_visible()
    assert machine.is_running


def test_a_script_that_came_into_a_page_of_flowers_does_nothing(
    staff: None, chromium: Browser, machine: UpProcess
) -> None:
    def smuggle(route: Route) -> None:
        answer = route.fetch()
        script = "<script>window.isIn = true</script><img src=x onerror='window.isIn = true'>"
        route.fulfill(response=answer, body=answer.text().replace("<main", f"{script}<main"))

    # Not watched: here the browser shall complain.
    context = chromium.new_context(base_url=machine.url)
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    sign_in(page, "operator")
    page.route("**/flower/broker", smuggle)

    page.goto("/flower/broker")

    def are_refused() -> bool:
        # Playwright tells of the console while it waits.
        page.wait_for_timeout(50)
        return len([each for each in refused if "Content Security Policy" in each]) > 1

    wait_until(are_refused, "both were refused")
    assert page.evaluate("window.isIn") is None
    context.close()
