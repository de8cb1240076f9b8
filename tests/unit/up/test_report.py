from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.up.report import (
    Printer,
    Style,
    closing_lines,
    ended_line,
    heading,
    new_code_line,
    ready_line,
    style_for,
    taken_port_line,
    tasks_line,
    try_words,
)

PLAIN = Style(has_colour=False, has_unicode=True)


class Terminal(io.StringIO):
    """A stream with somebody before it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class ClosedTerminal(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_ready_line_tells_name_facts_and_the_time_it_took() -> None:
    line = ready_line("web", "http://127.0.0.1:8000", timedelta(seconds=0.64))

    assert line.split() == ["✓", "web", "http://127.0.0.1:8000", "0.6", "s"]


def test_the_times_of_ready_lines_stand_under_each_other() -> None:
    short = ready_line("web", "here", timedelta(seconds=1))
    long = ready_line("broker", "there, with more to tell", timedelta(seconds=12))

    assert len(short) == len(long)


def test_a_new_data_folder_is_called_new() -> None:
    assert heading("1.0", Path("/data"), is_new=True).endswith("(new)")
    assert "new" not in heading("1.0", Path("/data"), is_new=False)


def test_a_taken_port_is_told_with_its_holder_and_the_port_taken_instead() -> None:
    line = taken_port_line("web", taken=8000, holder="nginx (process id 7)", port=8001)

    assert line.endswith("port 8000 is held by nginx (process id 7); taking 8001")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "ended with exit code 1 after 3.0 s"),
        # A negative code is the signal that ended it.
        (-9, "ended with signal 9 after 3.0 s"),
    ],
)
def test_an_ended_program_is_told_with_how_it_ended(code: int, words: str) -> None:
    line = ended_line(
        "worker",
        code=code,
        lived=timedelta(seconds=3),
        pause=timedelta(seconds=2),
        log=Path("worker.log"),
    )

    assert words in line
    assert "starting again in 2 s" in line


def test_the_tasks_of_ones_own_are_told_before_the_samples() -> None:
    names = ["flaky", "hello.greet", "process", "text.shout", "text.wordcount"]

    assert (
        tasks_line(names) == "✓ tasks      5: hello.greet text.shout flaky process text.wordcount"
    )


def test_tasks_are_told_as_far_as_there_is_room() -> None:
    names = [f"shop.task_number_{number}" for number in range(20)]

    assert tasks_line([]).endswith("init writes a file with one")
    assert tasks_line(["a", "b"]) == "✓ tasks      2: a b"
    line = tasks_line(names)
    assert line.startswith("✓ tasks      20: shop.task_number_0 ")
    assert line.endswith("more")
    assert len(line) < 110


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "text.wordcount"], 'submit text.wordcount text="hello world" --watch'),
        # What it takes is for its author to say.
        (["shop.pack"], "tasks describe shop.pack"),
        # Not a single one, not even a sample.
        ([], "init"),
    ],
)
def test_a_command_that_works_is_there_to_try(names: list[str], words: str) -> None:
    assert try_words(names) == words


@pytest.mark.parametrize(
    ("news", "said"),
    [
        ({"changed": ["a.py"]}, "a.py changed"),
        ({"changed": ["a.py"], "new": {"y", "x"}}, "2 new tasks: x, y; a.py changed"),
        ({"changed": [*"abcde"], "new": {"x"}}, "1 new task: x; a, b, c and 2 more changed"),
        ({"deleted": ["a.py"], "gone": {"x"}}, "a.py was deleted; 1 task is gone: x"),
        (
            {"changed": ["b.py"], "deleted": ["a.py", "c.py"], "gone": {*"tuvwxyz"}},
            "b.py changed; a.py, c.py were deleted; 7 tasks are gone: t, u, v, w, x and 2 more",
        ),
    ],
)
def test_new_code_is_told_with_what_came_the_files_and_what_went(
    news: dict[str, Any], said: str
) -> None:
    assert new_code_line(**news) == f"✓ reload     {said}; worker and web start again"


def test_the_start_link_stands_in_place_of_the_url_until_there_is_an_admin() -> None:
    def lines(link: str) -> str:
        return "\n".join(
            closing_lines(
                url="http://x",
                took=timedelta(seconds=2),
                flower="user celeriac",
                logs=Path("/logs"),
                grace=timedelta(seconds=10),
                start_link=link,
                to_try="",
            )
        )

    assert "  Open   http://x/start/abc    one use" in lines("http://x/start/abc")
    assert "  Open   http://x\n" in lines("")


@pytest.mark.parametrize(
    ("environment", "has_colour"),
    [
        ({}, True),
        # https://no-color.org: any value that is not empty.
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_gets_colour_unless_it_is_asked_not_to(
    *, environment: dict[str, str], has_colour: bool
) -> None:
    assert style_for(Terminal(), environment).has_colour is has_colour


def test_a_pipe_gets_no_colour() -> None:
    style = style_for(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {})

    assert style.dress("✓ web") == "✓ web"


def test_a_stream_that_cannot_show_a_tick_gets_a_plus() -> None:
    style = style_for(io.TextIOWrapper(io.BytesIO(), encoding="cp1252"), {})

    assert style.dress("✓ web") == "+ web"


def test_colour_is_put_around_the_mark_alone() -> None:
    style = Style(has_colour=True, has_unicode=True)

    assert style.dress("✗ worker") == "\033[31m✗\033[0m worker"
    assert style.dress("  Open") == "  Open"


def test_a_printer_goes_on_when_its_reader_is_gone() -> None:
    printer = Printer(ClosedTerminal(), PLAIN)

    printer.say("one", "two")
