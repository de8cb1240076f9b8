"""What the eye takes for granted: even edges, one order, and colours that mean what they say."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.acceptance.machine import UpProcess
from tests.browser.test_flows import open_form, submit
from tests.browser.test_pictures import submit_failing

_TEXT_EDGES = """Array.from(document.querySelectorAll(".card"), card => {
    const style = getComputedStyle(card);
    return [card.getBoundingClientRect().x + parseFloat(style.paddingLeft),
            card.getBoundingClientRect().right];
})"""
_CELLS = """Array.from(document.querySelector("tr[data-task]").cells,
    cell => cell.getBoundingClientRect()).filter(box => box.height).map(box => [box.y, box.x])"""


def test_the_cards_of_a_task_have_the_same_edges(user1: Page) -> None:
    open_form(user1, "text.wordcount")
    user1.get_by_role("textbox").first.fill("one two")
    submit(user1)
    expect(user1.locator("#heading .state")).to_have_text("completed")

    for width in (390, 1280):
        user1.set_viewport_size({"width": width, "height": 800})
        assert len({tuple(edges) for edges in user1.evaluate(_TEXT_EDGES)}) == 1, width


def test_the_frame_in_which_a_task_failed_is_not_marked_as_good(
    user1: Page, machine: UpProcess
) -> None:
    user1.goto(f"/ui/tasks/{submit_failing(machine.url)}")
    expect(user1.locator("#heading .state")).to_have_text("failed")

    marked = user1.locator(".traceback .own").evaluate("own => getComputedStyle(own).boxShadow")

    bad = user1.locator("#heading .state").evaluate("state => getComputedStyle(state).color")
    assert marked.startswith(bad)


def test_a_phone_shows_a_row_in_the_order_in_which_it_is_read_out(
    user1: Page, machine: UpProcess
) -> None:
    submit_failing(machine.url)
    user1.set_viewport_size({"width": 390, "height": 844})
    user1.goto("/ui/tasks")

    shown = user1.evaluate(_CELLS)

    assert len(shown) > 3
    assert shown == sorted(shown)
