"""Everything is reached without a mouse, and whoever goes there sees where they are."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

# More steps than any page of ours takes to what is looked for here.
_MOST_STEPS = 40
_IS_SEEN = """(() => {
    const place = document.activeElement, box = place.getBoundingClientRect();
    const ring = getComputedStyle(place);
    return box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight
        && ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 2;
})()"""


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus, which is seen at each step."""
    for _ in range(_MOST_STEPS):
        page.keyboard.press("Tab")
        told = page.evaluate("document.activeElement.outerHTML.slice(0, 120)")
        assert page.evaluate(_IS_SEEN), f"the focus is not seen on {told}"
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{_MOST_STEPS} steps do not lead to {wanted}")


def test_a_task_is_submitted_by_keyboard_alone(page: Page) -> None:
    page.goto("/ui/sign-in")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("user1")
    tab_to(page, page.get_by_label("Password"))
    page.keyboard.type("password1")
    tab_to(page, page.get_by_role("button", name="Sign in"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/tasks")

    tab_to(page, page.get_by_role("navigation", name="Pages").get_by_role("link", name="Submit"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/submit")
    tab_to(page, page.locator("a.choice[href='/ui/submit/text.wordcount']"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/submit/text.wordcount")
    tab_to(page, page.get_by_role("textbox").first)
    page.keyboard.type("one two two")
    tab_to(page, page.get_by_role("button", name="Submit and watch"))
    page.keyboard.press("Enter")

    expect(page.locator("#heading .state")).to_have_text("completed")
    tab_to(page, page.get_by_role("link", name="Edit and run again"))


def test_the_first_stop_of_a_page_leads_past_its_head(user1: Page) -> None:
    user1.goto("/ui/submit")

    user1.keyboard.press("Tab")
    expect(user1.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    user1.keyboard.press("Enter")
    tab_to(user1, user1.locator("a.choice").first)

    expect(user1).to_have_url("/ui/submit#main")
