"""What changes by itself on a page, in a real browser before a real machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.acceptance.machine import UpProcess
from tests.browser.test_flows import open_form, submit
from tests.contract.web.service import PASSWORD, Server, Service
from tests.fakes import ListedCatalogue, process_type
from tests.servers.line import Line
from tests.servers.processes import wait_until


@pytest.fixture
def client(machine: UpProcess) -> Iterator[httpx.Client]:
    """A program of the same user, who submits beside the page."""
    with httpx.Client(base_url=machine.url, timeout=20) as client:
        form = {"username": "user1", "password": "password1"}
        token = client.post("/token", data=form).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        yield client


def start(client: httpx.Client, **options: str) -> str:
    """Submit a task that takes two seconds."""
    answer = client.post("/tasks/process", json={"data": "x"}, params=options)
    return str(answer.json()["task_id"])


def with_boxes(route: Route) -> None:
    """Give every row a box to tick, as the server would."""
    answer = route.fetch()
    body = re.sub(
        r'(<tr data-task="([^"]+)">)',
        r'\1<td><input type="checkbox" class="box" aria-label="Choose"></td>',
        answer.text(),
    )
    route.fulfill(response=answer, body=body)


def test_a_row_changes_and_focus_and_ticks_stay(user1: Page, client: httpx.Client) -> None:
    user1.route(re.compile(r"/ui/tasks(/rows)?(\?|$)"), with_boxes)
    task_id = start(client)
    user1.goto("/ui/tasks")
    row = user1.locator(f'[data-task="{task_id}"]')
    row.locator(".box").check()
    row.get_by_role("link").focus()
    row.get_by_role("link").evaluate("link => { window.theLink = link; }")

    expect(row.locator(".state")).to_have_text("completed")

    expect(row.locator(".box")).to_be_checked()
    expect(row.get_by_role("link")).to_be_focused()
    assert row.get_by_role("link").evaluate("link => link === window.theLink")


def test_a_list_hears_of_changes_and_does_not_ask(user1: Page, client: httpx.Client) -> None:
    asked: list[str] = []
    task_id = start(client)
    user1.goto("/ui/tasks")
    expect(user1.locator("#live")).to_have_text("live")
    user1.on("request", lambda request: asked.append(request.url))

    row = user1.locator(f'[data-task="{task_id}"]')
    expect(row.locator(".state")).to_have_text("completed")
    user1.wait_for_timeout(1500)
    before = len(asked)
    user1.wait_for_timeout(2500)

    # Nothing changes any more, so nothing is asked for.
    assert len(asked) == before
    assert all("/ui/tasks/rows?" in url for url in asked), asked


def test_new_tasks_are_told_and_push_nothing_away(user1: Page, client: httpx.Client) -> None:
    start(client)
    user1.goto("/ui/tasks")
    expect(user1.locator("#live")).to_have_text("live")
    first = user1.locator("[data-task]").first.get_attribute("data-task")

    newest = [start(client), start(client)]

    expect(user1.get_by_role("link", name="Show 2 new tasks")).to_be_visible()
    assert user1.locator("[data-task]").first.get_attribute("data-task") == first
    user1.get_by_role("link", name="Show 2 new tasks").click()
    expect(user1.locator("[data-task]").first).to_have_attribute("data-task", newest[-1])


def test_a_hidden_page_listens_no_more(user1: Page) -> None:
    user1.goto("/ui/tasks")
    expect(user1.locator("#live")).to_have_text("live")
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""

    user1.evaluate(hide, True)
    expect(user1.locator("#live")).to_have_text("paused")
    assert user1.evaluate("stream") is None
    user1.evaluate(hide, False)

    expect(user1.locator("#live")).to_have_text("live")


def test_a_page_that_lost_its_stream_tells_how_old_it_is(
    chromium: Browser, machine: UpProcess
) -> None:
    port = urlsplit(machine.url).port
    assert port is not None
    with Line(port) as line:
        context = chromium.new_context(base_url=line.url(machine.url))
        page = context.new_page()
        page.goto("/ui/sign-in")
        page.get_by_label("Name").fill("user1")
        page.get_by_label("Password").fill("password1")
        page.keyboard.press("Enter")
        live = page.locator("#live")
        expect(live).to_have_text("live")

        context.set_offline(offline=True)
        line.cut()
        expect(live).to_have_text(re.compile(r"^reconnecting, [1-9] s old$"))
        page.set_viewport_size({"width": 390, "height": 800})
        assert live.evaluate("each => parseFloat(getComputedStyle(each).fontSize)") > 0
        context.set_offline(offline=False)

        expect(live).to_have_text("live", timeout=20_000)
        context.close()


@pytest.mark.parametrize("path", ["/ui/tasks", "/ui/submit"])
def test_new_task_functions_are_told_on_a_page_that_is_open(
    chromium: Browser, tmp_path: Path, path: str
) -> None:
    server = Server()
    catalogue = ListedCatalogue(process_type())
    port = urlsplit(server.url).port
    assert port is not None
    with Service(tmp_path, server, catalogue=catalogue) as service, Line(port) as line:
        service.add_user("ada")
        context = chromium.new_context(base_url=line.url(server.url))
        page = context.new_page()
        page.goto(f"/ui/sign-in?next={path}")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        wait_until(lambda: page.evaluate("knownNames !== null"), "the page knows what there is")
        expect(page.locator("#news")).to_be_empty()

        # As a service does that starts again with new code.
        catalogue.add(process_type(name="hello.greet", title="Greet somebody"))
        line.cut()

        news = page.get_by_role("status").filter(has_text="1 new task: hello.greet")
        expect(news).to_be_visible()
        if path == "/ui/submit":
            expect(page.locator("a.choice")).to_have_count(2)
        news.get_by_role("link", name="hello.greet").click()
        expect(page.get_by_role("heading", name="Greet somebody")).to_be_visible()
        context.close()
    server.close()


def test_without_a_stream_a_page_asks_by_itself(user1: Page) -> None:
    user1.route(re.compile(r"/events"), lambda route: route.fulfill(status=503))
    open_form(user1, "process")
    user1.get_by_role("textbox").first.fill("asked for")
    submit(user1)

    expect(user1.locator("#live")).to_have_text(re.compile("^reconnecting"))
    expect(user1.locator("#heading .state")).to_have_text("completed")
    expect(user1.locator("#result pre")).to_have_text("Processed: asked for")
    # It has ended, and nothing more is waited for.
    expect(user1.locator("#live")).to_be_hidden()


def test_a_stream_ends_with_its_task(user1: Page) -> None:
    open_form(user1, "process")
    user1.get_by_role("textbox").first.fill("to its end")
    submit(user1)
    expect(user1.locator("#live")).to_have_text("live")

    expect(user1.locator("#heading .state")).to_have_text("completed")

    expect(user1.locator("#live")).to_be_hidden()
    assert user1.evaluate("stream") is None
    expect(user1.locator("#announcement")).to_have_text("The task has completed")


def test_somebody_who_is_signed_out_elsewhere_is_led_to_the_sign_in(
    user1: Page, client: httpx.Client, machine: UpProcess
) -> None:
    start(client, delay_seconds="60")
    user1.goto("/ui/tasks")
    expect(user1.locator("#live")).to_have_text("live")
    elsewhere = user1.context.browser
    assert elsewhere is not None
    other = elsewhere.new_page(base_url=machine.url)
    other.goto("/ui/sign-in")
    other.get_by_label("Name").fill("user1")
    other.get_by_label("Password").fill("password1")
    other.keyboard.press("Enter")
    other.get_by_role("button", name="Sign out").click()
    other.close()

    # Not at once: a session is looked at again every five seconds.
    expect(user1.get_by_role("heading", name="Sign in")).to_be_visible(timeout=30_000)
