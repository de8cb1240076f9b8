"""What the papers say is what the code does."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from celery import Celery

import celeriac
from celeriac import Fail
from celeriac.cli import commands
from celeriac.core.state import FINAL_STATES, ErrorKind, TaskState
from celeriac.engine.authoring import TaskOptions
from celeriac.engine.contract import Contract
from celeriac.errors import CeleriacError, InvalidArgumentsError
from celeriac.settings import Settings
from celeriac.web.problems import status_of
from tests.papers import block_with, blocks, read

ROOT = Path(__file__).parents[1]

# Said by the web without an error class behind them.
WEB_CODES = {"internal", "method_not_allowed", "refused"}


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of every table row that begins with a word in backticks, by that word."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = cells[1:]
    return found


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def shown(default: Any) -> str:
    """Return a default as one would write it into the environment."""
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g}"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


def test_every_setting_stands_in_the_docs_as_it_is() -> None:
    told = {name: cells[:2] for name, cells in rows(read("docs/settings.md")).items()}

    assert told == {
        each.metadata["variable"]: [
            f"`{shown(each.default)}`" if shown(each.default) else "*none*",
            each.metadata["allowed"],
        ]
        for each in fields(Settings)
    }


def test_every_setting_has_a_meaning() -> None:
    assert all(cells[2] for cells in rows(read("docs/settings.md")).values())


def test_every_state_stands_in_the_docs() -> None:
    told = rows(section(read("docs/architecture.md"), "The states"))

    assert list(told) == [state.value for state in TaskState]
    final = {state for state, cells in told.items() if cells[0].endswith("Final.")}
    assert final == FINAL_STATES


def test_every_room_stands_in_the_docs() -> None:
    told = {
        room.strip("`")
        for room in re.findall(
            r"`[a-z_]+`(?=[^|]*\|)", section(read("docs/architecture.md"), "The rooms")
        )
    }
    package = ROOT / "celeriac"
    rooms = {each.parent.name for each in package.glob("*/__init__.py")}
    modules = {each.stem for each in package.glob("*.py")} - {"__init__", "__main__"}

    assert rooms | modules <= told


@pytest.mark.parametrize("paper", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_a_paper_sends_somebody_to_is_there(paper: str) -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", read(paper)))

    gone = [
        each for each in named if not any((ROOT / top / each).exists() for top in (".", "celeriac"))
    ]
    assert named
    assert gone == []


def test_every_reason_to_fail_stands_in_the_docs() -> None:
    told = rows(section(read("docs/errors.md"), "Why a task failed"))

    assert list(told) == [kind.value for kind in ErrorKind]


def every_error() -> Iterator[type[CeleriacError]]:
    # A room may have errors of its own, which only exist once it is imported.
    for module in pkgutil.walk_packages(celeriac.__path__, "celeriac."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    classes = [CeleriacError]
    for each in classes:
        yield each
        classes += each.__subclasses__()


def test_every_error_code_stands_in_the_docs() -> None:
    told = rows(read("docs/errors.md").partition("\n## Why a task failed")[0])

    assert set(told) == {each.code for each in every_error()} | WEB_CODES


def test_every_error_has_a_code_of_its_own() -> None:
    # A kind that is of interest to one room alone may go by its parent's.
    codes = [each.code for each in every_error() if "code" in vars(each)]

    assert sorted(codes) == sorted(set(codes))


def test_the_statuses_in_the_docs_are_those_of_the_web() -> None:
    told = {code: cells[0] for code, cells in rows(read("docs/errors.md")).items()}

    for kind in every_error():
        status = told[kind.code]
        if status.isdigit():
            assert status_of(kind.__new__(kind)) == int(status), kind


@pytest.fixture(scope="session")
def shout() -> Any:
    """The task that the README writes; once, since it registers itself."""
    app = Celery("readme", set_as_current=False)
    block = block_with(read("README.md"), "python", "text.shout")
    source = compile(block, "README.md", "exec")
    exec(source, {"__name__": "readme"})
    return app.tasks["text.shout"]


def test_the_readmes_task_runs_as_it_says(shout: Any) -> None:
    assert shout("hello", 2) == ["HELLO!", "HELLO!"]
    with pytest.raises(Fail):
        shout(" ")


def test_the_readmes_task_refuses_what_the_readme_says(shout: Any) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        shout.contract.check({"text": "hello", "times": 11})

    assert [each.pointer for each in caught.value.problems] == ["/times"]


def test_the_readmes_python_can_be_read() -> None:
    for block in blocks(read("README.md"), "python"):
        compile(block, "README.md", "exec")


def test_the_readme_names_every_sample() -> None:
    for module in (ROOT / "celeriac" / "samples").glob("*.py"):
        for name in re.findall(r'@task\(name="([^"]+)"', module.read_text(encoding="utf-8")):
            assert f"`{name}`" in read("README.md")


def test_what_the_papers_point_at_exists() -> None:
    papers = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

    for paper in papers:
        for path in re.findall(r"`((?:docs|celeriac|tests)/[\w./-]+)`", paper.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{paper.name} names {path}"


def test_no_option_of_a_task_is_told_that_is_none() -> None:
    options = re.findall(r"@task\(([^)]*)\)", read("README.md") + read("docs/architecture.md"))

    for each in options:
        assert set(re.findall(r"(\w+)=", each)) <= set(TaskOptions.__annotations__)


# How a command of ours begins, in a checkout and where it is installed.
COMMAND = r"(?:python3? run\.py|celeriac) "
# What run.py does by itself.
RUN_PY_ALONE = {"bench", "check", "coverage", "docs", "lock", "test"}


def every_paper() -> str:
    papers = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return "\n".join(paper.read_text(encoding="utf-8") for paper in papers)


def test_every_command_that_the_papers_show_exists() -> None:
    shown = [
        words
        for words in re.findall(
            rf"(?:^|`|\\$ ){COMMAND}([a-z][a-z -]*)", every_paper(), re.MULTILINE
        )
        if words.split()[0] not in RUN_PY_ALONE
    ]

    assert len(shown) > 40
    for words in shown:
        group: click.Command | None = commands.celeriac
        for word in words.split():
            if not isinstance(group, click.Group):
                break
            group = group.get_command(click.Context(group), word)
            assert group is not None, words


def test_every_option_that_the_papers_show_exists() -> None:
    lines = re.findall(rf"^{COMMAND}([a-z].*)$", "\n".join(blocks(every_paper(), "sh")), re.M)
    assert len(lines) > 20
    for line in lines:
        first, *rest = line.partition(" #")[0].split()
        if first in RUN_PY_ALONE:
            continue
        command = commands.celeriac.get_command(click.Context(commands.celeriac), first)
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), rest[0])
        assert command is not None, line
        known = {option for each in command.params for option in each.opts}
        assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known, line


@pytest.mark.parametrize(
    ("hint", "sent", "arrived"),
    [
        (datetime, '"2026-11-22T18:00:00Z"', datetime(2026, 11, 22, 18, tzinfo=UTC)),
        (timedelta, '"PT5M"', timedelta(minutes=5)),
        (Decimal, '"12.30"', Decimal("12.30")),
    ],
)
def test_a_value_arrives_as_the_papers_say(hint: Any, sent: str, arrived: Any) -> None:
    def take(value: Any) -> None: ...

    take.__annotations__["value"] = hint
    contract = Contract.of(take)
    given = {"value": json.loads(sent)}

    contract.check(given)

    assert f"`{sent}`" in read("docs/values.md")
    assert contract.bind((), given) == ([], {"value": arrived})


@pytest.mark.parametrize(("hint", "sent"), [(int, '"3"'), (bool, "1")])
def test_a_value_that_the_papers_say_is_refused_is(hint: Any, sent: str) -> None:
    def take(value: Any) -> None: ...

    take.__annotations__["value"] = hint

    with pytest.raises(InvalidArgumentsError):
        Contract.of(take).check({"value": json.loads(sent)})
    assert f"`{sent}`" in read("docs/values.md")
