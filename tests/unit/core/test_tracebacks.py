from __future__ import annotations

import json
import traceback

import pytest

from celeriac.core.tracebacks import Frame, Part, pieces_of, trail_of

HEAD = "Traceback (most recent call last):"
TRACER = "/srv/app/.venv/lib/python3.12/site-packages/celery/app/trace.py"


def frame(file: str, function: str = "f", code: str = "fail()") -> str:
    return f'  File "{file}", line 7, in {function}\n    {code}\n    ^^^^^^'


def raised(*files: str) -> str:
    """A traceback through these files."""
    return "\n".join([HEAD, *(frame(each) for each in files), "ValueError: no", ""])


def parts_of(text: str) -> list[tuple[Part, int]]:
    return [(each.part, each.frames) for each in pieces_of(text)]


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("/home/ada/shop/tasks.py", Part.OWN),
        ("C:\\Users\\ada\\shop\\tasks.py", Part.OWN),
        # a folder that is called after Python is no Python
        ("/home/ada/lib/python3-lessons/tasks.py", Part.OWN),
        ("/home/ada/celeriac/tasks.py", Part.OWN),
        ("/home/ada/celeriac/files/tasks.py", Part.OWN),
        # what newcomers look at first
        ("/srv/.venv/lib/python3.12/site-packages/celeriac/samples/flaky.py", Part.OWN),
        ("/home/ada/celeriac/celeriac/samples/flaky.py", Part.OWN),
        (TRACER, Part.LIBRARY),
        ("/usr/lib/python3.11/json/decoder.py", Part.LIBRARY),
        ("/usr/lib/python3/dist-packages/PIL/Image.py", Part.LIBRARY),
        ("/opt/lib/python3.14t/json/decoder.py", Part.LIBRARY),
        ("/home/ada/celeriac/celeriac/engine/typed_task.py", Part.LIBRARY),
        ("C:\\Python312\\Lib\\json\\decoder.py", Part.LIBRARY),
        ("C:\\pyenv\\versions\\3.12.1\\lib\\json\\decoder.py", Part.LIBRARY),
        ("C:\\shop\\.venv\\Lib\\site-packages\\celery\\app\\trace.py", Part.LIBRARY),
        ("<frozen importlib._bootstrap>", Part.LIBRARY),
    ],
)
def test_a_file_tells_whose_a_frame_is(file: str, part: Part) -> None:
    pieces = pieces_of(raised("/home/ada/shop/begin.py", file, "/home/ada/shop/end.py"))

    own = Part.OWN
    expected = [(own, 3)] if part is own else [(own, 1), (part, 1), (own, 1)]
    assert [(each.part, each.frames) for each in pieces[1:-1]] == expected


def test_frames_of_libraries_that_follow_each_other_are_one_piece() -> None:
    pieces = pieces_of(raised(TRACER, TRACER, "/home/ada/shop.py", TRACER))

    assert [(each.part, each.frames) for each in pieces] == [
        (Part.TEXT, 0),
        (Part.LIBRARY, 2),
        (Part.OWN, 1),
        (Part.LIBRARY, 1),
        (Part.TEXT, 0),
    ]
    assert pieces[2].text == frame("/home/ada/shop.py")
    assert pieces[-1].text == "ValueError: no"


def deep(number: int) -> None:
    deep(number + 1)


def tangle() -> None:
    """Fail with all that a traceback can hold: causes, groups, repeated frames, libraries."""
    try:
        json.loads("{")
    except ValueError as cause:
        try:
            deep(0)
        except RecursionError as error:
            raise ExceptionGroup("several\n\nat once", [cause, error]) from cause


def test_the_pieces_are_the_whole_of_it_whatever_it_holds() -> None:
    try:
        tangle()
    except ExceptionGroup:
        text = traceback.format_exc()

    pieces = pieces_of(text)

    assert "\n".join(each.text for each in pieces) == text.rstrip("\n")
    # json's frames stand there twice: as the cause, and in the group.
    library = [each for each in pieces if each.part is Part.LIBRARY]
    assert [each.frames for each in library] == [3, 3]
    assert all("json" in each.text for each in library)
    assert "Previous line repeated" in next(each.text for each in pieces if "deep" in each.text)


def test_a_task_that_is_installed_is_its_authors_too() -> None:
    shop = "/srv/lib/python3.12/site-packages/shop/tasks.py"
    pillow = "/srv/lib/python3.12/site-packages/PIL/Image.py"

    assert parts_of(raised(TRACER, shop, pillow))[1:-1] == [
        (Part.LIBRARY, 1),
        (Part.OWN, 1),
        (Part.LIBRARY, 1),
    ]


@pytest.mark.parametrize("text", ["", "\n"])
def test_of_nothing_there_are_no_pieces(text: str) -> None:
    assert pieces_of(text) == ()


def test_what_is_no_traceback_is_shown_as_it_is() -> None:
    assert parts_of("killed by signal 9\nsorry") == [(Part.TEXT, 0)]


SHOP = "/home/ada/shop.py"
SHOPS = Frame(SHOP, 7, "f")


@pytest.mark.parametrize(
    ("text", "trail"),
    [
        (raised(TRACER, SHOP), [SHOPS]),
        # Where a library raised, and where one called back.
        (raised(TRACER, SHOP, TRACER, TRACER, SHOP), [SHOPS, SHOPS]),
        (raised(TRACER, SHOP, TRACER), [SHOPS]),
        # One that caused another: the last one counts, unless only a library raised it.
        (f"{raised('/home/ada/first.py')}\nDuring handling …\n\n{raised(SHOP)}", [SHOPS]),
        (f"{raised(SHOP)}\nDuring handling …\n\n{raised(TRACER)}", [SHOPS]),
        # An error of syntax is in no function.
        (f'{HEAD}\n  File "{SHOP}", line 7\n    1 +\n', [Frame(SHOP, 7, "")]),
        (raised(TRACER), []),
        # Said by an exception's message, which may say anything.
        (f'{HEAD}\n  File "{SHOP}", line {"9" * 5000}, in buy\n', []),
        ("killed by signal 9", []),
        ("", []),
    ],
)
def test_the_trail_of_an_exception_is_through_ones_own_code(text: str, trail: list[Frame]) -> None:
    assert [*trail_of(text)] == trail


def test_the_trail_of_what_a_group_holds_is_found_behind_its_bars() -> None:
    try:
        tangle()
    except ExceptionGroup:
        text = traceback.format_exc()

    places = trail_of(text)
    assert {each.function for each in places} == {"tangle", "deep"}
    assert all(each.file == __file__ for each in places)
