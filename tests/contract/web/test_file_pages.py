"""Files in the pages: chosen in a form, shown with the task, downloaded; all without JavaScript."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from PIL import Image
from pydantic import Field

from celeriac import File
from celeriac.core.file_reference import FileReference, find_references
from celeriac.core.outcome import Ending
from celeriac.core.page import TaskFilter
from celeriac.core.task import TaskId
from celeriac.files.store import keep_stream
from tests.contract.web.browser import Browser, Page, browser_of
from tests.contract.web.service import PASSWORD, Server, Service
from tests.contract.web.test_reading import end
from tests.fakes import FunctionCatalogue


def look(
    image: Annotated[File, "image/*", Field(description="A picture")],
    width: Annotated[int, Field(ge=1)] = 1,
    more: list[File] = [],  # noqa: B006 - never called
) -> File:
    raise NotImplementedError


def note(any: Any) -> None:  # noqa: A002 - its name is what the form is asked for
    raise NotImplementedError


@pytest.fixture
def service(tmp_path: Path, server: Server) -> Iterator[Service]:
    with Service(tmp_path, server, catalogue=FunctionCatalogue(look=look, note=note)) as service:
        yield service


@pytest.fixture
def ada(service: Service) -> Browser:
    return browser_of(service, "ada")


def cat(name: str = "cat.png") -> Any:
    out = io.BytesIO()
    Image.new("RGB", (4, 3), "orange").save(out, "PNG")
    return (name, out.getvalue(), "image/png")


def hidden(page: Page) -> list[tuple[str, Any]]:
    """The form's own fields, first as in the page."""
    return [
        (str(each["name"]), (None, (each.get("value") or "").encode()))
        for each in page.all("input")
        if each.get("type") == "hidden" and each["name"] != ""
    ][1:]


def send(
    browser: Browser,
    *parts: tuple[str, Any],
    page: str = "/ui/submit/look",
    to: str = "/ui/submit/look",
) -> httpx.Response:
    return browser.client.post(to, files=[*hidden(browser.get(page)), *parts])


def tasks(service: Service) -> list[Any]:
    return list(service.ledger.tasks.list(TaskFilter(), after=None, limit=9).items)


def references(service: Service, path: str) -> list[FileReference]:
    task = service.ledger.tasks.get(TaskId(path.rpartition("/")[2]))
    return find_references(json.loads(task.arguments.text))


def stored(service: Service) -> list[str]:
    return sorted(service.files.walk())


def test_the_form_asks_for_a_file(ada: Browser) -> None:
    page = ada.get("/ui/submit/look")

    [form] = [each for each in page.all("form") if "/ui/submit" in str(each["action"])]
    assert form["enctype"] == "multipart/form-data"
    one, many = (each for each in page.all("input") if each.get("type") == "file")
    assert (one["name"], one["accept"]) == ("arg.image", "image/*")
    assert "required" in one
    assert "multiple" not in one
    assert (many["name"], "accept" in many, "multiple" in many) == ("arg.more", False, True)
    # Before any file: the token is known when the first one begins.
    names = [each.get("name") for each in page.all("input")]
    assert names.index("form_token") < names.index("arg.image")


def test_a_chosen_file_makes_a_task(service: Service, ada: Browser) -> None:
    nothing = ("", b"", "application/octet-stream")

    response = send(ada, ("arg.image", cat()), ("arg.width", (None, b"7")), ("arg.more", nothing))

    assert response.status_code == 303, response.text
    [reference] = references(service, response.headers["location"])
    assert reference.name == "cat.png"
    assert stored(service) == [reference.id]


def test_the_same_form_sent_twice_makes_one_task_and_keeps_one_file(
    service: Service, ada: Browser
) -> None:
    parts = [*hidden(ada.get("/ui/submit/look")), ("arg.image", cat())]

    first, second = (ada.client.post("/ui/submit/look", files=parts) for _ in range(2))

    assert first.headers["location"] == second.headers["location"]
    assert len(tasks(service)) == 1
    assert len(stored(service)) == 1


def test_another_file_in_the_same_form_makes_another_task(service: Service, ada: Browser) -> None:
    form = hidden(ada.get("/ui/submit/look"))

    for data in (b"one", b"two"):
        part = ("arg.image", ("cat.png", data, "image/png"))
        assert ada.client.post("/ui/submit/look", files=[*form, part]).status_code == 303

    assert len(tasks(service)) == 2


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([], "Field required: choose a file"),
        ([("arg.image", ("a.txt", b"x", "text/plain"))], "must be image/*"),
    ],
)
def test_a_file_that_does_not_fit_is_told_beside_its_field(
    service: Service, ada: Browser, parts: Any, told: str
) -> None:
    page = Page(send(ada, *parts))

    assert page.status == 422
    assert told in page.text
    [field] = [each for each in page.all("input") if each.get("name") == "arg.image"]
    assert field["aria-invalid"] == "true"
    assert stored(service) == []


def test_with_a_mistake_elsewhere_the_file_is_to_be_chosen_again(
    service: Service, ada: Browser
) -> None:
    page = Page(send(ada, ("arg.image", cat()), ("arg.width", (None, b"0"))))

    assert page.status == 422
    assert "Choose cat.png again" in page.text
    assert stored(service) == []


def chosen(browser: Browser, *parts: tuple[str, Any]) -> list[tuple[str, Any]]:
    """A form as a browser sends it: its file stands before what was typed below it."""
    nothing = ("arg.more", ("", b"", "application/octet-stream"))
    typed = ("arg.width", (None, b"7"))
    return [*hidden(browser.get("/ui/submit/look")), ("arg.image", cat()), typed, nothing, *parts]


def assert_only_the_file_is_lost(page: Page) -> None:
    assert "Nothing was submitted yet" in page.text
    assert page.value("arg.width") == "7"
    [image] = [each for each in page.all("input") if each.get("name") == "arg.image"]
    [more] = [each for each in page.all("input") if each.get("name") == "arg.more"]
    assert image["aria-describedby"] == "field-image-problem field-image-help"
    assert ">Choose cat.png again: a file is kept only once" in page.text
    assert "aria-invalid" not in more


def test_a_form_that_meets_an_ended_session_loses_nothing_but_its_files_and_says_which(
    service: Service, ada: Browser
) -> None:
    parts = chosen(ada)
    ada.client.cookies.clear()

    asked = Page(ada.client.post("/ui/submit/look", files=parts))
    kept = {
        str(each["name"]): each.get("value") or ""
        for each in asked.all("input")
        if each.get("type") == "hidden"
    }
    form = {**kept, "form_token": asked.value("form_token"), "name": "ada", "password": PASSWORD}
    signed_in = ada.client.post("/ui/sign-in", data=form)
    assert signed_in.next_request is not None
    page = Page(ada.client.send(signed_in.next_request))

    assert (asked.status, signed_in.status_code) == (401, 307)
    assert_only_the_file_is_lost(page)
    assert tasks(service) == []
    assert stored(service) == []


def test_a_form_of_an_earlier_session_loses_nothing_but_its_files(
    service: Service, ada: Browser
) -> None:
    [_, *parts] = chosen(ada)
    old = ("form_token", (None, b"of an earlier session"))

    page = Page(ada.client.post("/ui/submit/look", files=[old, *parts]))

    assert page.status == 403
    assert_only_the_file_is_lost(page)
    assert stored(service) == []


def test_an_old_form_still_takes_the_earlier_tasks_file(service: Service, ada: Browser) -> None:
    first = send(ada, ("arg.image", cat())).headers["location"]
    nothing = ("arg.image", ("", b"", "application/octet-stream"))
    again = f"/ui/submit/look?from={first.rpartition('/')[2]}"
    [_, *parts] = hidden(ada.get(again))

    old = Page(ada.client.post("/ui/submit/look", files=[("form_token", (None, b"x")), *parts]))
    response = ada.client.post("/ui/submit/look", files=[*hidden(old), nothing])

    assert "<strong>cat.png</strong> is taken again" in old.text
    assert references(service, response.headers["location"]) == references(service, first)


def test_too_large_a_file_is_told_with_the_bound_of_the_form(
    tmp_path: Path, server: Server
) -> None:
    catalogue = FunctionCatalogue(look=look)
    with Service(tmp_path, server, catalogue=catalogue, max_upload_bytes=2**20) as service:
        ada = browser_of(service, "ada")
        big = ("arg.image", ("big.png", b"x" * 3 * 2**20, "image/png"))

        page = Page(send(ada, big))

        assert page.status == 413
        assert "than the 1 MiB" in page.text
        assert {"class": "button", "href": "/ui/submit/look"} in page.all("a")
        assert stored(service) == []


def test_a_file_of_nobody_is_counted_although_it_is_thrown_away(
    tmp_path: Path, server: Server
) -> None:
    catalogue = FunctionCatalogue(look=look)
    with Service(tmp_path, server, catalogue=catalogue, max_upload_bytes=1000) as service:
        big = ("arg.image", ("big.png", b"x" * 1001, "image/png"))

        response = service.client().post("/ui/submit/look", files=[big])

        assert response.status_code == 303
        assert stored(service) == []


@pytest.mark.parametrize(
    "change",
    [
        # from another site, by what the browser says
        lambda form: (form, {"Sec-Fetch-Site": "cross-site"}),
        # without the token, with a wrong one, or after the file
        lambda form: ([each for each in form if each[0] != "form_token"], {}),
        lambda form: ([("form_token", (None, b"x")), *form[1:]], {}),
        lambda form: ([*form[1:], form[0]], {}),
    ],
)
def test_a_form_from_elsewhere_is_refused_before_its_file_is_kept(
    service: Service, ada: Browser, change: Any
) -> None:
    parts = [*hidden(ada.get("/ui/submit/look")), ("arg.image", cat())]
    assert parts[0][0] == "form_token"
    changed, headers = change(parts)
    begun: list[object] = []
    draft = service.files.draft
    service.files.draft = lambda: begun.append(1) or draft()  # type: ignore[method-assign, func-returns-value]

    response = ada.client.post("/ui/submit/look", files=changed, headers=headers)

    assert response.status_code == 403
    assert begun == []
    assert tasks(service) == []


def test_edit_and_run_again_takes_the_earlier_file_unless_another_is_chosen(
    service: Service, ada: Browser
) -> None:
    first = send(ada, ("arg.image", cat())).headers["location"]
    again = f"/ui/submit/look?from={first.rpartition('/')[2]}"
    nothing = ("arg.image", ("", b"", "application/octet-stream"))

    page = ada.get(again)
    kept = send(ada, nothing, ("arg.width", (None, b"9")), page=again)
    other = send(ada, ("arg.image", cat("dog.png")), page=again)

    assert "<strong>cat.png</strong> is taken again" in page.text
    assert references(service, kept.headers["location"]) == references(service, first)
    assert [each.name for each in references(service, other.headers["location"])] == ["dog.png"]


def test_nobody_runs_a_strangers_file_again(service: Service, ada: Browser) -> None:
    first = send(ada, ("arg.image", cat())).headers["location"]
    eve = browser_of(service, "eve")
    nothing = ("arg.image", ("", b"", "application/octet-stream"))
    earlier = ("from", (None, first.rpartition("/")[2].encode()))

    page = Page(
        eve.client.post(
            "/ui/submit/look", files=[*hidden(eve.get("/ui/submit/look")), earlier, nothing]
        )
    )

    assert page.status == 422
    assert "cat.png" not in page.text


def test_nobody_names_a_strangers_file_in_a_field_of_json(service: Service, ada: Browser) -> None:
    first = send(ada, ("arg.image", cat())).headers["location"]
    [theirs] = references(service, first)
    eve = browser_of(service, "eve")
    typed = ("arg.any", (None, json.dumps(theirs.to_json()).encode()))

    page = Page(send(eve, typed, page="/ui/submit/note", to="/ui/submit/note"))

    assert page.status == 422
    assert "a file that did not come with it" in page.text
    assert len(tasks(service)) == 1


def test_run_again_takes_the_file_along(service: Service, ada: Browser) -> None:
    path = send(ada, ("arg.image", cat())).headers["location"]
    end(service, TaskId(path.rpartition("/")[2]), Ending.FAILED)

    response = ada.send(path, f"{path}/again")

    assert response.status_code == 303
    assert references(service, response.headers["location"]) == references(service, path)


def test_what_made_a_task_fail_is_not_shown_as_a_picture(service: Service, ada: Browser) -> None:
    path = send(ada, ("arg.image", cat())).headers["location"]
    before = ada.get(path)
    end(service, TaskId(path.rpartition("/")[2]), Ending.FAILED)

    failed = ada.get(path)

    assert [each["alt"] for each in before.all("img") if each.get("loading")] == ["cat.png"]
    assert [each for each in failed.all("img") if each.get("loading")] == []
    assert f"{path}/files/" in failed.text


@pytest.fixture
def shown(service: Service, ada: Browser) -> tuple[str, FileReference]:
    """A completed task that returned a picture, and the picture."""
    path = send(ada, ("arg.image", cat())).headers["location"]
    out = keep_stream(service.files, io.BytesIO(cat()[1]), name="größe.png", content_type=None)
    task_id = TaskId(path.rpartition("/")[2])
    end(service, task_id, Ending.COMPLETED, result=json.dumps(out.to_json()))
    return path, out


def test_a_picture_is_shown_and_downloaded(ada: Browser, shown: tuple[str, FileReference]) -> None:
    path, out = shown

    page = ada.get(path)

    [result, argument] = [each for each in page.all("img") if each.get("loading")]
    assert (result["src"], result["alt"]) == (f"{path}/pictures/{out.id}", "größe.png")
    assert argument["alt"] == "cat.png"
    assert f'href="{path}/files/{out.id}"' in page.text
    assert "celeriac_file" not in page.text
    picture = ada.client.get(str(result["src"]))
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["content-disposition"].startswith("inline")
    assert picture.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    download = ada.client.get(f"{path}/files/{out.id}")
    assert download.headers["content-disposition"].startswith("attachment")
    assert ada.client.get(f"{path}/result").content == download.content == picture.content


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("a.png", "image/png", b"<script>alert(1)</script>"),
        ("a.svg", "image/svg+xml", b"<svg onload='alert(1)'/>"),
        ("a.png", "image/png", b""),
    ],
)
def test_what_is_no_picture_is_not_shown_as_one(
    service: Service, ada: Browser, name: str, kind: str, data: bytes
) -> None:
    path = send(ada, ("arg.image", (name, data, kind))).headers["location"]
    [reference] = references(service, path)

    response = ada.client.get(f"{path}/pictures/{reference.id}")

    assert response.status_code == 404
    assert b"alert" not in response.content


def test_a_strangers_picture_is_not_there(
    service: Service, shown: tuple[str, FileReference]
) -> None:
    path, out = shown
    eve = browser_of(service, "eve")

    for kind in ("pictures", "files"):
        assert eve.client.get(f"{path}/{kind}/{out.id}").status_code == 404
    signed_out = Browser(service).client.get(f"{path}/pictures/{out.id}")
    assert signed_out.status_code == 303
