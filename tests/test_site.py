"""The pages as a site: built strictly, every link leads somewhere, nothing comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import run
from tests.servers.processes import PROJECT, clean_environment

DOCS = PROJECT / "docs"
# What a browser fetches without being asked to.
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "use": "href",
}


@dataclass
class Built:
    """What is of interest in one page."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Built()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.page.links.append(given["href"])
        elif tag == "link":
            kind = given.get("rel", "")
            (self.page.links if kind in ("next", "prev", "canonical") else self.page.loads).append(
                given["href"]
            )
        elif tag in LOADS and LOADS[tag] in given:
            self.page.loads.append(given[LOADS[tag]])
        self.page.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part]
        self.page.loads += re.findall(r"url\(([^)]+)\)", given.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages; a warning of the builder is an error."""
    folder = tmp_path_factory.mktemp("site")
    # Whoever tries to reach another machine while it is built fails.
    offline = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:1")
    *command, source, _ = run.DOCS
    built = subprocess.run(
        [sys.executable, *command, "-d", str(folder / "cache"), source, str(folder / "html")],
        cwd=PROJECT,
        env=clean_environment(offline),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Built]:
    found = {}
    for file in site.rglob("*.html"):
        reader = Reader()
        reader.feed(file.read_text(encoding="utf-8"))
        found[file] = reader.page
    return found


def test_every_paper_is_a_page(site: Path) -> None:
    papers = {each.relative_to(DOCS).with_suffix(".html") for each in DOCS.rglob("*.md")}

    assert len(papers) > 15
    assert all((site / each).is_file() for each in papers)


def test_every_link_and_anchor_of_a_page_leads_somewhere(pages: dict[Path, Built]) -> None:
    followed = 0
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.is_file(), f"{file.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{file.name}: {link}"
            followed += 1
    assert followed > 200


def test_no_page_loads_anything_from_elsewhere(site: Path, pages: dict[Path, Built]) -> None:
    for file, page in pages.items():
        for load in page.loads:
            parts = urlsplit(load.strip("'\""))
            assert not parts.netloc, f"{file.name}: {load}"
            assert parts.scheme in ("", "data"), f"{file.name}: {load}"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        for load in re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s;]+)", text):
            assert not load.startswith(("http:", "https:", "//")), f"{sheet.name}: {load}"


# --- The same where the papers are read plainly ----------------------------------------------


def plain_papers() -> list[Path]:
    folders = (DOCS, PROJECT / "examples")
    return [
        *sorted(PROJECT.glob("*.md")),
        *sorted(paper for folder in folders for paper in folder.rglob("*.md")),
    ]


def anchors(text: str) -> set[str]:
    """Return the anchors of a paper's headings, as those who show it plainly make them."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def links(paper: Path) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", paper.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)


@pytest.mark.parametrize("paper", plain_papers(), ids=lambda paper: str(paper.name))
def test_every_link_of_a_paper_leads_somewhere_where_it_is_read_plainly(paper: Path) -> None:
    for link in links(paper):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (paper.parent / parts.path).resolve() if parts.path else paper
        assert target.exists(), link
        if parts.fragment:
            assert parts.fragment in anchors(target.read_text("utf-8")), link


def test_every_decision_has_a_number_of_its_own() -> None:
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    numbers = [int(page.name[:4]) for page in pages]

    assert numbers == list(range(1, len(pages) + 1))
    for number, page in zip(numbers, pages, strict=True):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_every_picture_is_shown_and_says_what_is_on_it() -> None:
    shown = {
        (paper.parent / path).resolve()
        for paper in plain_papers()
        for said, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", paper.read_text("utf-8"))
        if len(said) > 20
    }

    assert shown == set((DOCS / "pictures").glob("*"))
