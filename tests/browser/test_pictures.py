"""Pictures of every page, in both looks and two widths, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.machine import UpProcess
from tests.browser.pictures import FOLDER, new_machine, take_all
from tests.browser.test_flows import open_form, submit

SIZES = ((1280, 800), (390, 844))


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

    with new_machine(tmp_path) as machine:
        machine.wait_for_log("Ctrl-C", seconds=60)
        take_all(chromium, machine, made)

    shown = {each.name for each in FOLDER.glob("*.png")}
    assert {each.name for each in made.glob("*.png")} == shown
    # A reader on a slow line fetches all of them with the page.
    assert all(each.stat().st_size < 120_000 for each in FOLDER.glob("*.png"))


@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_page_has_its_picture(
    user1: Page, machine: UpProcess, pictures: Path, look: Literal["light", "dark"]
) -> None:
    failed = submit_failing(machine.url)
    user1.emulate_media(color_scheme=look)

    def take(name: str) -> None:
        for width, height in SIZES:
            user1.set_viewport_size({"width": width, "height": height})
            user1.screenshot(path=pictures / f"{name}-{look}-{width}.png", full_page=True)

    open_form(user1, "numbers.primes")
    user1.get_by_role("textbox").first.fill("100000")
    take("form")
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("completed")
    take("completed")
    open_form(user1, "flaky")
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("completed")
    take("attempts")
    user1.goto(f"/ui/tasks/{failed}")
    expect(user1.locator("#heading .state")).to_have_text("failed")
    take("failed")
    open_form(user1, "numbers.primes")
    user1.get_by_role("textbox").first.fill("many")
    user1.get_by_text("Options:").click()
    user1.get_by_label("Priority").fill("99")
    submit(user1)
    take("wrong")
    open_form(user1, "process")
    user1.get_by_role("textbox").first.fill("example data")
    submit(user1)
    expect(user1.locator("progress")).to_be_visible()
    take("running")
    user1.goto("/ui/submit")
    take("choose")
    open_form(user1, "process")
    user1.get_by_text("Options:").click()
    user1.get_by_label("Queue").fill("nobody")
    user1.get_by_role("textbox").first.fill("x")
    submit(user1)
    take("waiting")
    user1.goto("/ui/tasks")
    take("list")
    user1.goto("/ui/tasks/nothing")
    take("nothing")
    user1.context.clear_cookies()
    user1.goto("/ui/sign-in")
    take("sign-in")

    assert all((pictures / f"list-{look}-{width}.png").stat().st_size for width, _ in SIZES)
