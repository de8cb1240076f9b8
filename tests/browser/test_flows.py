"""What people do at the pages, in a real browser before a real machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from celeriac.service.password_links import PasswordLinks
from celeriac.service.start_links import StartLinks
from tests.acceptance.machine import UpProcess, add_user
from tests.browser.screenshots import refuse_wide_page, take
from tests.contract.web.service import Server, Service
from tests.servers.processes import PROJECT

PASSWORD = "four walnut umbrellas dancing"


def open_form(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Submit").click()
    page.locator(f"a.choice[href='/ui/submit/{name}']").click()


def submit(page: Page) -> None:
    page.get_by_role("button", name="Submit and watch").click()


def test_from_the_start_link_to_a_result(page: Page, machine: UpProcess, pictures: Path) -> None:
    link = re.search(r"Open +(\S+/start/\S+)", machine.log_text())
    assert link is not None

    page.goto(link[1])
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").fill("grace")
    page.get_by_label("Password").fill("short")
    expect(page.get_by_text("7 more characters")).to_be_visible()
    take(page, pictures, "start")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    page.get_by_role("link", name="Run it: Run a text task").click()
    expect(page.get_by_role("textbox").first).to_have_value("one two two")
    submit(page)

    expect(page.locator("#heading .state")).to_have_text("completed")
    expect(page.locator("#result pre")).to_contain_text("two")
    assert httpx.get(link[1]).status_code == 409


def test_a_newcomer_takes_the_first_steps(
    page: Page, machine: UpProcess, pictures: Path, tmp_path: Path
) -> None:
    add_user("newcomer", PASSWORD, machine.settings)
    page.goto("/ui/first-steps")
    page.get_by_label("Name").fill("newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    take(page, pictures, "first-steps")

    # What is there to break it with fails, and a picture in its place mends it.
    with page.expect_download() as download:
        page.get_by_role("link", name="broken.png").click()
    download.value.save_as(tmp_path / "broken.png")
    page.get_by_role("link", name="Break it").click()
    page.get_by_label("Image").set_input_files(tmp_path / "broken.png")
    submit(page)
    expect(page.locator("#heading .state")).to_have_text("failed")
    go_to_steps(page)
    page.get_by_role("link", name="Mend it").click()
    page.get_by_role("link", name="Edit and run again").click()
    Image.new("RGB", (40, 30), "orange").save(tmp_path / "orange.png")
    page.get_by_label("Image").set_input_files(tmp_path / "orange.png")
    submit(page)
    expect(page.locator("#heading .state")).to_have_text("completed")
    go_to_steps(page)
    expect(page.locator(".is-done h2")).to_have_text(
        [re.compile("thumbnail"), re.compile("See an error")]
    )
    # Another way to say the same is shown, by keyboard too.
    page.get_by_role("radio", name="Terminal").first.press("ArrowRight")
    expect(page.locator("#step-text pre").nth(1)).to_be_visible()
    expect(page.locator("#step-text pre").first).to_be_hidden()
    take(page, pictures, "first-steps-taken")

    page.get_by_role("button", name="Use it from your app").click()
    take(page, pictures, "key")
    program = page.locator(".way").first.inner_text()
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "'words': 3" in ran.stdout
    page.get_by_role("link", name="Back to the first steps").click()
    expect(page.locator("#step-code.is-done, #step-text.is-done")).to_have_count(2)


def go_to_steps(page: Page) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="First steps").click()


def test_a_password_is_judged_while_it_is_typed(chromium: Browser, tmp_path: Path) -> None:
    server = Server()
    judged = {
        "a": ("11 more characters", "weak"),
        "abcdefghijk": ("1 more character", "weak"),
        # long, and as good as two letters
        "abababababababab": ("Too repetitive", "weak"),
        "walnut-umbre": ("Long enough", "good"),
        PASSWORD: ("Long enough", "good"),
    }
    with Service(tmp_path, server) as service:
        context = chromium.new_context(base_url=service.url)
        page = context.new_page()
        page.goto(f"/start/{StartLinks(service.ledger, now=service.clock).make()}")
        told = page.locator("#password-strength")
        field = page.get_by_label("Password")

        for typed, (words, level) in judged.items():
            field.fill(typed)
            expect(told).to_have_text(words)
            expect(told).to_have_attribute("data-level", level)
        field.fill("")

        expect(told).to_be_empty()
        context.close()
    server.close()


def test_somebody_with_a_link_chooses_a_password_and_is_in(
    chromium: Browser, tmp_path: Path
) -> None:
    server = Server()
    with Service(tmp_path, server) as service:
        service.add_user("ada")
        link = f"/start/{PasswordLinks(service.ledger, now=service.clock).make('ada')}"
        context = chromium.new_context(base_url=service.url)
        page = context.new_page()

        page.goto(link)
        expect(page.get_by_text("This link is for ada.")).to_be_visible()
        expect(page.get_by_label("Password")).to_be_focused()
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")

        page.wait_for_url("**/ui/first-steps")
        page.goto(link)
        expect(page.get_by_text("it has been used")).to_be_visible()
        context.close()
    server.close()


def test_a_wrong_password_is_told_and_the_right_one_lets_in(page: Page) -> None:
    page.goto("/ui/submit")
    page.get_by_label("Name").fill("user1")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("user1")

    page.get_by_label("Password").fill("password1")
    page.keyboard.press("Enter")

    page.wait_for_url("**/ui/submit")


def test_a_bad_argument_is_told_beside_its_field(user1: Page) -> None:
    open_form(user1, "numbers.primes")
    user1.get_by_role("textbox").first.fill("many")
    user1.get_by_text("Options:").click()
    user1.get_by_label("Priority").fill("99")
    submit(user1)

    summary = user1.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("must be a whole number")
    expect(summary).to_contain_text("a whole number from 0 to 9")
    user1.get_by_label("Priority").fill("")
    summary.get_by_role("link").first.click()
    field = user1.locator("[aria-invalid]").first
    expect(field).to_be_focused()
    expect(field).to_have_value("many")
    field.fill("-5")
    submit(user1)
    expect(user1.locator(".wrong")).to_contain_text("greater than or equal to 0")


def test_all_that_is_wrong_is_told_at_once(user1: Page) -> None:
    open_form(user1, "image.thumbnail")
    user1.get_by_label("Width").fill("wide")
    submit(user1)

    summary = user1.get_by_role("alert")
    expect(summary).to_contain_text("Width: must be a whole number")
    expect(summary).to_contain_text("Image: Field required")
    expect(user1.locator("[aria-invalid]")).to_have_count(2)


def test_what_is_typed_while_the_session_ends_is_not_lost(user1: Page) -> None:
    open_form(user1, "text.wordcount")
    user1.get_by_role("textbox").first.fill("one two two")
    user1.context.clear_cookies()
    submit(user1)
    expect(user1.get_by_role("alert")).to_contain_text("nothing was submitted")
    user1.get_by_label("Name").fill("user1")
    user1.get_by_label("Password").fill("password1")
    user1.get_by_role("button", name="Sign in").click()
    expect(user1.get_by_role("textbox").first).to_have_value("one two two")

    submit(user1)

    expect(user1.locator("#heading .state")).to_have_text("completed")


def test_progress_is_seen_and_focus_and_folds_stay(user1: Page) -> None:
    open_form(user1, "process")
    user1.get_by_role("textbox").first.fill("words")
    submit(user1)

    expect(user1.locator("progress")).to_be_visible()
    user1.evaluate("window.stillHere = true")
    user1.get_by_role("button", name="Sign out").focus()
    expect(user1.locator("#heading .state")).to_have_text("completed")

    assert user1.evaluate("window.stillHere") is True
    expect(user1.get_by_role("button", name="Sign out")).to_be_focused()
    expect(user1.locator("#announcement")).to_have_text("The task has completed")
    expect(user1.locator("#result pre")).to_have_text("Processed: words")


def test_a_running_task_is_cancelled(user1: Page) -> None:
    open_form(user1, "process")
    user1.get_by_role("textbox").first.fill("never mind")
    user1.get_by_text("Options:").click()
    user1.get_by_label("Delay").fill("60")
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("scheduled")
    expect(user1.locator("#story")).to_contain_text("It starts in")

    user1.get_by_role("button", name="Cancel").click()

    expect(user1.locator("#heading .state")).to_have_text("cancelled")
    user1.get_by_role("link", name="Edit and run again").click()
    expect(user1.get_by_role("textbox").first).to_have_value("never mind")


def test_signing_out_leaves_nothing_behind(user1: Page) -> None:
    user1.get_by_role("button", name="Sign out").click()
    user1.wait_for_url("**/ui/sign-in")

    user1.go_back()

    expect(user1.get_by_role("heading", name="Sign in")).to_be_visible()


def test_everything_works_without_javascript(chromium: Browser, machine: UpProcess) -> None:
    context = chromium.new_context(base_url=machine.url, java_script_enabled=False)
    page = context.new_page()

    page.goto("/ui/sign-in")
    page.get_by_label("Name").fill("user1")
    page.get_by_label("Password").fill("password1")
    page.get_by_role("button", name="Sign in").click()
    open_form(page, "process")
    page.get_by_role("textbox").first.fill("slowly")
    submit(page)
    refresh = page.get_by_role("link", name="Refresh")
    while refresh.is_visible():
        page.wait_for_timeout(300)
        refresh.click()

    expect(page.locator("#result pre")).to_have_text("Processed: slowly")
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(user1: Page, context: BrowserContext, width: int) -> None:
    user1.set_viewport_size({"width": width, "height": 800})

    for path in ("/ui/tasks", "/ui/submit", "/ui/submit/numbers.primes", "/ui/tasks/none"):
        user1.goto(path)
        refuse_wide_page(user1, path)


def test_a_key_and_the_lines_beside_it_are_copied(user1: Page) -> None:
    user1.context.grant_permissions(["clipboard-read", "clipboard-write"])
    user1.goto("/ui/first-steps")
    user1.locator("#step-code button").click()
    key = user1.locator("#key").inner_text()

    user1.get_by_role("button", name="Copy the key").press("Enter")

    expect(user1.locator(".copy").first.get_by_role("status")).to_have_text("Copied")
    assert user1.evaluate("navigator.clipboard.readText()") == key

    # And of several ways the one that is shown
    user1.get_by_text("curl", exact=True).click()
    user1.get_by_role("button", name="Copy these lines").click()
    expect(user1.locator(".ways [role=status]")).to_have_text("Copied")
    copied = user1.evaluate("navigator.clipboard.readText()")
    assert copied == user1.locator(".way:visible").inner_text()
    assert copied.startswith("curl")


def test_where_the_browser_gives_no_clipboard_the_text_is_selected(user1: Page) -> None:
    user1.goto("/ui/first-steps")
    user1.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    shown = user1.locator(".ways").first

    shown.get_by_role("button", name="Copy these lines").click()

    expect(shown.get_by_role("status")).to_contain_text("Selected: press")
    selected = user1.evaluate("getSelection().toString()")
    assert selected.strip() == shown.locator(".way:visible").inner_text().strip()
