"""Makes the pictures of the papers again: `python -m tests.browser.pictures`.

Starts everything on this machine, does what a newcomer does, and writes `docs/pictures`. What is
seen on them is true at the moment they are made; a test sees to it that they can be made. What
runs is a copy of the checkout in a reader's own folder, and a page that names any other is refused:
where somebody worked is nobody's business.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

from tests.acceptance.machine import UpProcess
from tests.browser.chromium import find_chromium
from tests.servers.processes import PROJECT

FOLDER = PROJECT / "docs" / "pictures"
# Where a reader would have it. It is made for the pictures, so they need somebody who may make it.
HOME = Path("/home/you/celeriac")
NAME, PASSWORD = "ada", "four walnut umbrellas dancing"
WIDE, TALL, PHONE = (1120, 640), (1120, 800), (390, 780)
# As many as a page of ours has, with the edges of its letters.
_COLOURS = 128
# Not the path of an address, as in `http://127.0.0.1:8000/tasks`.
_PATH = re.compile(r"(?<![\w:/.-])/(?P<top>[\w.-]+)(?:/[\w.@+-]+)*")
# All that can be read on a page, what was typed into it too; not what is folded away.
_READ = """document.body.innerText + "\\n" +
    Array.from(document.querySelectorAll("input, textarea"), each => each.value).join("\\n")"""
# A page is drawn at this times its size, so that letters are sharp on any screen.
_SHARPNESS = 1.5

Take = Callable[[str, tuple[int, int]], None]


def main() -> int:
    """Make every picture and return the exit code."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        copied_to(HOME) as home,
        sync_playwright() as playwright,
        new_machine(Path(folder), home) as machine,
    ):
        machine.wait_for_log("Ctrl-C", seconds=60)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        take_all(browser, machine, FOLDER, home=home)
        browser.close()
    for file in sorted(FOLDER.glob("*.png")):
        sys.stdout.write(f"{file.stat().st_size / 1000:6.1f} kB  {file.name}\n")
    return 0


@contextmanager
def copied_to(home: Path) -> Iterator[Path]:
    """Lay a copy of what runs into a folder that is made for it, and take both away again.

    Raises:
        FileExistsError: Something is there, which is not ours to overwrite.
    """
    made = next(
        each for each in (*reversed(home.parents), home) if not each.exists() or each == home
    )
    home.mkdir(parents=True)
    try:
        shutil.copytree(
            PROJECT / "celeriac", home / "celeriac", ignore=shutil.ignore_patterns("__pycache__")
        )
        # By it our texts know that a checkout's command is `python run.py`.
        shutil.copy(PROJECT / "run.py", home)
        yield home
    finally:
        shutil.rmtree(made)


def new_machine(folder: Path, home: Path) -> UpProcess:
    """Return everything on one machine, run from a folder; nobody has signed in yet."""
    environment = {"CELERIAC_PROCESS_SECONDS": "4"}
    return UpProcess(folder, project=home, environment=environment, name="pictures")


def foreign_paths(text: str, *, home: Path) -> list[str]:
    """Return the paths in a text that lead somewhere on this machine, but not into a folder."""
    found = [match[0] for match in _PATH.finditer(text) if Path("/", match["top"]).exists()]
    return [each for each in found if not Path(each).is_relative_to(home)]


def refuse_foreign_paths(page: Page, *, home: Path) -> None:
    """See to it that a page names no folder of this machine but one.

    Raises:
        AssertionError: It does; names them.
    """
    found = foreign_paths(page.evaluate(_READ), home=home)
    assert not found, f"{page.url} shows where it was made: {found}"


def take_all(browser: Browser, machine: UpProcess, folder: Path, *, home: Path) -> None:
    """Go the way of a newcomer and take a picture wherever there is something to see."""
    context = browser.new_context(
        base_url=machine.url, color_scheme="light", device_scale_factor=_SHARPNESS
    )
    context.set_default_timeout(20_000)
    page = context.new_page()

    def take(name: str, size: tuple[int, int]) -> None:
        refuse_foreign_paths(page, home=home)
        page.set_viewport_size({"width": size[0], "height": size[1]})
        (folder / f"{name}.png").write_bytes(smaller(page.screenshot()))

    _begin(page, machine, take)
    _run(page, take)
    _look(page, take)
    _fail(page, machine, take)
    page.goto("/ui/tasks")
    take("list", WIDE)
    page.emulate_media(color_scheme="dark")
    take("phone", PHONE)
    context.close()


def smaller(picture: bytes) -> bytes:
    """Return a picture in a few colours: a third of its bytes, and to the eye the same."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        few.save(out, "PNG", optimize=True)
    return out.getvalue()


def _begin(page: Page, machine: UpProcess, take: Take) -> None:
    link = re.search(r"Open +(\S+/start/\S+)", machine.log_text())
    assert link is not None
    page.goto(link[1])
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    take("start", WIDE)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    take("first-steps", TALL)
    page.goto("/ui/submit")
    take("choose", TALL)


def _run(page: Page, take: Take) -> None:
    _fill(page, "text.wordcount", "the quick brown fox jumps over the lazy dog and the cat")
    take("form", WIDE)
    _submit(page, until="completed")
    take("result", TALL)
    _fill(page, "process", "example data")
    _submit(page)
    expect(page.locator("progress")).to_be_visible()
    take("running", WIDE)
    expect(page.locator("#heading .state")).to_have_text("completed")


def _look(page: Page, take: Take) -> None:
    page.goto("/ui/submit/image.thumbnail")
    file: FilePayload = {"name": "hill.png", "mimeType": "image/png", "buffer": _hill()}
    page.locator("input[type=file]").set_input_files(files=file)
    _submit(page, until="completed")
    expect(page.locator("#result img")).to_be_visible()
    # Not wait_for_function: to look a second time it needs the eval that our policy forbids.
    page.locator("#result img").evaluate("image => image.decode()")
    take("thumbnail", TALL)


def _hill() -> bytes:
    """Return a picture to make smaller: a hill under a sun, of our own making."""
    sky, sun, hill = (176, 214, 232), (250, 202, 84), (61, 107, 33)
    picture = Image.new("RGB", (1600, 1000), sky)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((1080, 120, 1360, 400), fill=sun)
    draw.ellipse((-500, 560, 1300, 2000), fill=hill)
    draw.ellipse((700, 700, 2300, 2000), fill=(46, 84, 26))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _fail(page: Page, machine: UpProcess, take: Take) -> None:
    with httpx.Client(base_url=machine.url) as client:
        token = client.post("/token", data={"username": NAME, "password": PASSWORD}).json()
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        # It succeeds on the third.
        task = client.post("/tasks/flaky", json={}, params={"max_attempts": 2})
    page.goto(f"/ui{task.headers['location']}")
    expect(page.locator("#heading .state")).to_have_text("failed")
    take("failed", TALL)


def _fill(page: Page, name: str, text: str) -> None:
    page.goto(f"/ui/submit/{name}")
    page.get_by_role("textbox").first.fill(text)


def _submit(page: Page, *, until: str = "") -> None:
    page.get_by_role("button", name="Submit and watch").click()
    if until:
        expect(page.locator("#heading .state")).to_have_text(until)
        # The state may be seen a moment before the stream tells of the end.
        expect(page.locator("#live")).to_be_hidden()


if __name__ == "__main__":
    sys.exit(main())
