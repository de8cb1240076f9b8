"""Pictures of every page, in both looks and two widths, for people to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from celeriac.core.outcome import Ending
from celeriac.core.state import ErrorKind
from celeriac.core.task import Arguments, Codec, NewTask, TaskError, TaskId
from celeriac.core.user import Role
from celeriac.engine.modules import ImportProblem
from celeriac.service.password_links import PasswordLinks
from tests.acceptance.machine import UpProcess
from tests.browser.pictures import (
    FOLDER,
    copied_to,
    new_machine,
    refuse_foreign_paths,
    take_all,
)
from tests.browser.screenshots import take
from tests.browser.test_flows import open_form, submit
from tests.browser.watched import Watched
from tests.contract.web.service import PASSWORD, Server, Service
from tests.contract.web.test_file_pages import look as look_at
from tests.contract.web.test_pages import TRACEBACK
from tests.contract.web.test_reading import end
from tests.fakes import FunctionCatalogue

LONG = "warehouse.reconciliation.rebuild_the_inventory_of_everything"


def submit_failing(url: str) -> str:
    """Submit a task that fails, and return its id."""
    form = {"username": "user1", "password": "password1"}
    token = httpx.post(f"{url}/token", data=form).json()["access_token"]
    task = httpx.post(
        f"{url}/tasks/flaky",
        json={},
        params={"max_attempts": 1},
        headers={"Authorization": f"Bearer {token}"},
    )
    return str(task.json()["task_id"])


@pytest.mark.timeout(300)
def test_the_pictures_of_the_papers_can_be_made_again(chromium: Browser, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()

    with copied_to(tmp_path / "celeriac") as home, new_machine(tmp_path, home) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        take_all(chromium, machine, made, home=home)

    shown = {each.name for each in FOLDER.glob("*.png")}
    assert {each.name for each in made.glob("*.png")} == shown
    # A reader on a slow line fetches all of them with the page.
    assert all(each.stat().st_size < 120_000 for each in FOLDER.glob("*.png"))


def test_no_picture_is_taken_of_a_page_that_names_a_folder_of_this_machine(
    chromium: Browser, tmp_path: Path
) -> None:
    page = chromium.new_page()
    home = tmp_path / "home"
    fine = f'File "{home}/celeriac/samples/flaky.py", POST /tasks/x, http://localhost:80/etc/x'
    page.set_content(f"<p>{fine}</p>")
    refuse_foreign_paths(page, home=home)

    for told in (f'<p>File "{__file__}", line 1</p>', f'<input value="in {tmp_path}">'):
        page.set_content(f"<p>{fine}</p>{told}")
        with pytest.raises(AssertionError, match="shows where it was made"):
            refuse_foreign_paths(page, home=home)

    page.close()


def test_no_screenshot_is_taken_of_a_page_that_is_wider_than_its_window(
    chromium: Browser, tmp_path: Path
) -> None:
    page = chromium.new_page()
    page.set_content("<pre>" + "a-word-without-any-end" * 30)

    with pytest.raises(AssertionError, match="in a window of 390 px"):
        take(page, tmp_path, "wide")

    page.close()


def test_every_page_has_its_picture(user1: Page, machine: UpProcess, pictures: Path) -> None:
    failed = submit_failing(machine.url)

    open_form(user1, "numbers.primes")
    user1.get_by_role("textbox").first.fill("100000")
    take(user1, pictures, "form")
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("completed")
    take(user1, pictures, "completed")
    open_form(user1, "flaky")
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("completed")
    take(user1, pictures, "attempts")
    user1.goto(f"/ui/tasks/{failed}")
    expect(user1.locator("#heading .state")).to_have_text("failed")
    take(user1, pictures, "failed")
    open_form(user1, "numbers.primes")
    user1.get_by_role("textbox").first.fill("many")
    user1.get_by_text("Options:").click()
    user1.get_by_label("Priority").fill("99")
    submit(user1)
    take(user1, pictures, "wrong")
    open_form(user1, "process")
    user1.get_by_role("textbox").first.fill("example data")
    submit(user1)
    expect(user1.locator("progress")).to_be_visible()
    take(user1, pictures, "running")
    user1.goto("/ui/submit")
    take(user1, pictures, "choose")
    open_form(user1, "process")
    user1.get_by_text("Options:").click()
    user1.get_by_label("Queue").fill("nobody")
    user1.get_by_role("textbox").first.fill("x")
    submit(user1)
    take(user1, pictures, "waiting")
    user1.goto("/ui/tasks")
    take(user1, pictures, "list")
    user1.goto("/ui/tasks/nothing")
    take(user1, pictures, "nothing")
    user1.context.clear_cookies()
    user1.goto("/ui/sign-in")
    take(user1, pictures, "sign-in")


def test_the_ways_in_and_empty_pages_have_their_pictures(
    chromium: Browser, tmp_path: Path, pictures: Path
) -> None:
    server = Server()
    with Service(tmp_path, server) as service:
        context = chromium.new_context(base_url=service.url)
        page = context.new_page()
        watched = Watched(page)

        page.goto("/ui/sign-in")
        expect(page.get_by_text("You started this service?")).to_be_visible()
        take(page, pictures, "first-start")
        service.add_user("ada", Role.ADMIN)
        link = f"/start/{PasswordLinks(service.ledger, now=service.clock).make('ada')}"
        page.goto(link)
        take(page, pictures, "link")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/first-steps")
        page.goto("/ui/tasks")
        expect(page.get_by_text("You have not submitted a task yet.")).to_be_visible()
        take(page, pictures, "empty")
        page.goto(f"/ui/tasks/{make_task(service, 'process', 'never mind')}")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#heading .state")).to_have_text("cancelled")
        take(page, pictures, "cancelled")
        page.goto(link)
        expect(page.get_by_text("it has been used")).to_be_visible()
        take(page, pictures, "link-used")
        context.clear_cookies()
        page.goto("/ui/sign-in")
        sign_in(page, "a guess")
        expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
        take(page, pictures, "wrong-password")

        context.close()
    server.close()
    assert watched.complaints == []


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Service]:
    """A service that refuses early, and knows the worst names and texts there are."""
    functions: Any = {"look": look_at, LONG: words, "تقرير.المبيعات": words}
    catalogue = FunctionCatalogue(**functions)
    catalogue.unloaded = (
        ImportProblem(
            module="shop.orders", file="/srv/shop/orders.py", line=3, message="NameError: x"
        ),
    )
    server = Server()
    limits: Any = {"login_limit": "3/hour", "max_upload_bytes": 2**20}
    with Service(tmp_path, server, catalogue=catalogue, **limits) as service:
        yield service
    server.close()


def words(text: str) -> None:
    raise NotImplementedError


def make_task(service: Service, name: str, text: str, *, queue: str = "default") -> TaskId:
    arguments = Arguments(codec=Codec.JSON, text=json.dumps([[], {"text": text}]))
    task_id = TaskId(f"task-{len(name)}")
    new = NewTask(id=task_id, name=name, arguments=arguments, submitted_by="ada", queue=queue)
    service.ledger.tasks.insert([new])
    return task_id


def test_refusals_and_the_worst_names_have_their_pictures(
    chromium: Browser, limited: Service, pictures: Path
) -> None:
    limited.add_user("ada")
    failed = make_task(limited, LONG, "a-word-without-any-end" * 14)
    error = TaskError(
        kind=ErrorKind.EXCEPTION, type="ValueError", message="no " * 90, traceback=TRACEBACK
    )
    end(limited, failed, Ending.FAILED, error=error)
    arabic = make_task(limited, "تقرير.المبيعات", "إجمالي المبيعات 第三季度 🎉", queue="q-" * 24)
    context = chromium.new_context(base_url=limited.url)
    page = context.new_page()
    watched = Watched(page)

    page.goto("/ui/sign-in")
    sign_in(page, PASSWORD)
    expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()
    take(page, pictures, "worst-list")
    page.goto(f"/ui/tasks/{failed}")
    expect(page.locator(".traceback .own")).to_contain_text("shop/tasks.py")
    expect(page.get_by_text("trace.py").first).to_be_hidden()
    page.locator(".traceback summary").press("Enter")
    expect(page.get_by_text("trace.py").first).to_be_visible()
    take(page, pictures, "worst-failed")
    page.goto(f"/ui/tasks/{arabic}")
    take(page, pictures, "worst-names")
    page.goto("/ui/submit")
    expect(page.get_by_text("Some tasks are missing")).to_be_visible()
    take(page, pictures, "missing")
    page.goto("/ui/submit/look")
    file = FilePayload(name="big.png", mimeType="image/png", buffer=b"x" * 3 * 2**20)
    page.get_by_label("Image").set_input_files(file)
    submit(page)
    expect(page.get_by_role("heading", name="This is too large")).to_be_visible()
    take(page, pictures, "413")
    context.clear_cookies()
    page.goto("/ui/sign-in")
    for _ in range(3):
        sign_in(page, "a guess")
    expect(page.get_by_role("heading", name="Too many requests")).to_be_visible()
    take(page, pictures, "429")

    context.close()
    assert watched.complaints == []


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
