"""A picture is sent, made smaller and seen: in a real browser, by a real worker."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.acceptance.machine import UpProcess
from tests.browser.screenshots import SIZES, take
from tests.browser.test_flows import open_form, submit

_RIGHT_EDGES = """Array.from(document.querySelectorAll(".card"),
    card => Math.round(card.getBoundingClientRect().right))"""


def drawn(name: str = "größe.jpg") -> FilePayload:
    out = io.BytesIO()
    band = Image.linear_gradient("L").resize((800, 600))
    Image.merge("RGB", (band, band.rotate(180), band)).save(out, "JPEG")
    return FilePayload(name=name, mimeType="image/jpeg", buffer=out.getvalue())


def width_of(page: Page, picture: str) -> int:
    """The width of a picture that the browser has decoded; 0 when it could not."""
    image = page.locator(picture)
    expect(image).to_be_visible()
    image.scroll_into_view_if_needed()
    image.evaluate("image => image.decode()")
    return int(image.evaluate("image => image.naturalWidth"))


def test_a_picture_is_made_smaller_and_shown(user1: Page, pictures: Path, tmp_path: Path) -> None:
    open_form(user1, "image.thumbnail")
    user1.get_by_label("Image").set_input_files(drawn())
    user1.get_by_label("Width").fill("200")
    take(user1, pictures, "file-form")
    submit(user1)

    expect(user1.locator("#heading .state")).to_have_text("completed")
    assert width_of(user1, "#result img") == 200
    assert width_of(user1, "section:has(> h2:text-is('Arguments')) img") == 800
    take(user1, pictures, "file-task")
    for width, height in SIZES:
        user1.set_viewport_size({"width": width, "height": height})
        assert len(set(user1.evaluate(_RIGHT_EDGES))) == 1
    with user1.expect_download() as download:
        user1.locator("#result").get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "größe-200x150.jpg"
    with Image.open(download.value.path()) as smaller:
        assert smaller.size == (200, 150)


def test_a_file_that_is_no_picture_is_told_of_and_another_is_taken(user1: Page) -> None:
    open_form(user1, "image.grayscale")
    text = FilePayload(name="notes.png", mimeType="image/png", buffer=b"no picture")
    user1.get_by_label("Image").set_input_files(text)
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("failed")
    expect(user1.locator("#story")).to_contain_text("notes.png is no picture that can be read")

    user1.get_by_role("link", name="Edit and run again").click()
    expect(
        user1.get_by_text("notes.png is taken again unless you choose another file here.")
    ).to_be_visible()
    user1.get_by_label("Image").set_input_files(drawn("cat.jpg"))
    submit(user1)

    expect(user1.locator("#heading .state")).to_have_text("completed")
    assert width_of(user1, "#result img") == 800


@pytest.mark.parametrize("name", ["image.thumbnail"])
def test_it_works_without_javascript(chromium: Browser, machine: UpProcess, name: str) -> None:
    context = chromium.new_context(base_url=machine.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/sign-in")
    page.get_by_label("Name").fill("user1")
    page.get_by_label("Password").fill("password1")
    page.get_by_role("button", name="Sign in").click()

    open_form(page, name)
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("a file")
    page.get_by_label("Image").set_input_files(drawn("cat.jpg"))
    submit(page)
    refresh = page.get_by_role("link", name="Refresh")
    while refresh.is_visible():
        page.wait_for_timeout(300)
        refresh.click()

    expect(page.locator("#result img")).to_be_visible()
    context.close()
