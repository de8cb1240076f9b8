"""What the pages show, and that each of them is sound HTML without anything inline."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from markupsafe import escape

from celeriac import Fail
from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import Arguments, Codec, NewTask, TaskError, TaskId
from celeriac.core.user import Role
from celeriac.engine.modules import ImportProblem
from celeriac.errors import LedgerUnavailableError
from celeriac.service.start_links import StartLinks
from tests.contract.web.browser import Browser, Page, browser_of
from tests.contract.web.service import Server, Service
from tests.fakes import ListedCatalogue, make_worker, process_type

HOSTILE = "<img src=x onerror=alert(1)>"
TRACEBACK = f"""Traceback (most recent call last):
  File "/srv/lib/python3.12/site-packages/celery/app/trace.py", line 585, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/home/ada/shop/tasks.py", line 7, in order
    raise ValueError("{HOSTILE}")
ValueError: {HOSTILE}
"""
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}


@pytest.fixture
def ada(service: Service) -> Browser:
    """A browser in which Ada is signed in."""
    return browser_of(service, "ada")


def submit(browser: Browser, data: str = "hello", **options: str) -> str:
    """Submit a task by its form and return its page's path."""
    response = browser.send(
        "/ui/submit/process", "/ui/submit/process", **{"arg.data": data, **options}
    )
    assert response.status_code == 303, response.text
    return response.headers["location"]


def finish(service: Service, path: str, **changes: object) -> None:
    """Have a worker claim a task and end it."""
    task_id = TaskId(path.rpartition("/")[2])
    leases = service.ledger.leases
    worker = make_worker()
    leases.join(worker)
    claimed = leases.exchange(worker.id, outcomes=(), wanted=[task_id], queues=("default",)).claimed
    outcome = Outcome(
        task_id=task_id,
        lease_token=claimed[0].lease_token,
        ending=Ending.COMPLETED,
        finished_at=service.clock() + timedelta(seconds=1),
    )
    changed = outcome._replace(**changes)  # type: ignore[arg-type]
    leases.exchange(worker.id, outcomes=(changed,), wanted=(), queues=())


def every_page(service: Service, ada: Browser) -> dict[str, Page]:
    """Return one page of every kind."""
    link = f"/start/{StartLinks(service.ledger, now=service.clock).make()}"
    operator = browser_of(service, "olga", Role.OPERATOR)
    empty = ada.get("/ui/tasks")
    path = submit(ada, HOSTILE)
    failed = submit(ada, "fails")
    error = TaskError(
        kind=ErrorKind.EXCEPTION, type="ValueError", message=HOSTILE, traceback=TRACEBACK
    )
    finish(service, failed, ending=Ending.FAILED, error=error)
    wrong = ada.send("/ui/submit/process", "/ui/submit/process", delay_seconds="x")
    return {
        "start": Browser(service).get(link),
        "sign in": Browser(service).get("/ui/sign-in"),
        "wrong": Page(Browser(service).sign_in("ada", "wrong")),
        "empty": empty,
        "list": ada.get("/ui/tasks"),
        "everybody": operator.get("/ui/tasks?whose=all"),
        "no match": ada.get("/ui/tasks?state=expired"),
        "first steps": ada.get("/ui/first-steps"),
        "key": Page(ada.send("/ui/first-steps", "/ui/first-steps/key")),
        "choose": ada.get("/ui/submit"),
        "form": ada.get("/ui/submit/process"),
        "form again": Page(wrong),
        "old form": Page(ada.client.post("/ui/submit/process", data={"arg.data": HOSTILE})),
        "signed out": Page(service.client().post("/ui/submit/process", data={"arg.data": HOSTILE})),
        "task": ada.get(path),
        "failed": ada.get(failed),
        "nothing": ada.get("/ui/nothing"),
    }


def test_every_page_is_sound(service: Service, ada: Browser) -> None:
    for name, page in every_page(service, ada).items():
        assert set(page.headers["content-security-policy"].split("; ")) == POLICY, name
        assert page.headers["x-content-type-options"] == "nosniff", name
        assert page.headers["referrer-policy"] == "no-referrer", name
        assert page.headers["cache-control"] == "no-store", name
        assert page.text.startswith("<!doctype html>"), name
        assert_outline(page, name)
        assert page.all("html") == [{"lang": "en"}], name
        assert_nothing_inline(page, name)
        assert_labels(page, name)


def assert_outline(page: Page, name: str) -> None:
    """What somebody who hears a page finds their way by: its title, landmarks and headings."""
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert levels[:1] == [1], name
    assert levels.count(1) == 1, name
    assert all(after - before <= 1 for before, after in pairwise(levels)), name
    assert [each["id"] for each in page.all("main")] == ["main"], name
    assert all(each.get("aria-label") for each in page.all("nav")), name
    assert all("alt" in each for each in page.all("img")), name
    assert " · Celeriac</title>" in page.text, name


def assert_nothing_inline(page: Page, name: str) -> None:
    for tag, attributes in page.elements:
        assert not [each for each in attributes if each.startswith(("on", "style"))], (name, tag)
        assert tag not in ("style", "iframe", "base"), name
        assert tag != "script" or attributes.get("src"), name
        assert not str(attributes.get("href", "")).lower().startswith("javascript"), name
    assert HOSTILE not in page.text, name


def assert_labels(page: Page, name: str) -> None:
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), name
    labels = [each.get("for") for each in page.all("label")]
    for tag in ("input", "select", "textarea"):
        for field in page.all(tag):
            if field.get("type") != "hidden":
                assert labels.count(field.get("id")) == 1, (name, field)
    for _, attributes in page.elements:
        for described in str(attributes.get("aria-describedby") or "").split():
            assert described in ids, (name, described)
        # A link inside the page leads somewhere.
        target = str(attributes.get("href") or "")
        assert not target.startswith("#") or target[1:] in ids, (name, target)


def test_a_form_makes_a_task_and_shows_it(service: Service, ada: Browser) -> None:
    page = ada.get(submit(ada, "some words"))

    assert page.status == 200
    assert "some words" in page.text
    assert len(service.publisher.wait_for(1)) == 1


def test_the_same_form_sent_twice_makes_one_task(service: Service, ada: Browser) -> None:
    page = ada.get("/ui/submit/process")

    first = ada.send(page, "/ui/submit/process", **{"arg.data": "x"})
    second = ada.send(page, "/ui/submit/process", **{"arg.data": "x"})
    other = ada.send(page, "/ui/submit/process", **{"arg.data": "y"})

    assert first.headers["location"] == second.headers["location"]
    assert other.headers["location"] != first.headers["location"]
    assert len(service.publisher.wait_for(2)) == 2


def test_a_wrong_form_keeps_what_was_typed_and_says_what_is_wrong(
    service: Service, ada: Browser
) -> None:
    response = ada.send(
        "/ui/submit/process",
        "/ui/submit/process",
        **{"arg.data": "kept <words>", "priority": "high", "delay_seconds": "1e99"},
    )

    assert response.status_code == 422
    assert "kept &lt;words&gt;" in response.text
    assert "must be a whole number" in response.text
    assert "is out of bounds" in response.text
    assert 'href="#option-priority"' in response.text
    assert service.publisher.rung == []


def test_a_text_left_empty_is_told_beside_it_and_sent_once_that_is_meant(
    service: Service, ada: Browser
) -> None:
    forgotten = ada.send("/ui/submit/process", "/ui/submit/process", **{"arg.data": ""})
    page = Page(forgotten)

    meant = ada.send(page, "/ui/submit/process", **{"arg.data": "", "empty.data": "on"})

    assert forgotten.status_code == 422
    assert 'id="field-data-problem">must be filled in</p>' in page.text
    assert_labels(page, "forgotten")
    assert meant.status_code == 303
    task_id = TaskId(meant.headers["location"].rpartition("/")[2])
    assert service.ledger.tasks.get(task_id).arguments.text == '[[], {"data": ""}]'
    again = ada.get(f"/ui/submit/process?from={task_id}")
    assert [each for each in again.all("input") if each.get("name") == "empty.data"] != []


def test_an_option_out_of_bounds_is_told_beside_it(ada: Browser) -> None:
    response = ada.send(
        "/ui/submit/process", "/ui/submit/process", **{"arg.data": "x", "queue": "a b"}
    )

    assert response.status_code == 422
    assert 'id="option-queue-problem"' in response.text


def test_a_misspelled_queue_is_asked_about_and_taken_once_it_is_meant(
    service: Service, ada: Browser
) -> None:
    service.ledger.leases.join(make_worker(queues=("default", "reports")))
    fields = {"arg.data": "x", "queue": "reprots"}

    doubted = ada.send("/ui/submit/process", "/ui/submit/process", **fields)
    page = Page(doubted)
    other = ada.send(page, "/ui/submit/process", **{**fields, "queue_meant": "report"})
    meant = ada.send(page, "/ui/submit/process", **fields, queue_meant="reprots")

    assert doubted.status_code == other.status_code == 422
    assert "no worker serves reprots; did you mean reports?</p>" in page.text
    assert "Submit it to reprots" in page.text
    assert_labels(page, "doubted")
    assert meant.status_code == 303
    task = service.ledger.tasks.get(TaskId(meant.headers["location"].rpartition("/")[2]))
    assert task.queue == "reprots"
    assert len(service.publisher.wait_for(1)) == 1


def test_a_task_in_a_queue_that_nobody_serves_is_put_right_without_a_terminal(
    service: Service, ada: Browser
) -> None:
    lonely = submit(ada, "lonely", queue="reprots")
    before = ada.get(lonely)
    service.ledger.leases.join(make_worker(queues=("default", "reports")))
    page = ada.get(lonely)

    moved = ada.send(page, f"{lonely}/instead", queue="reports")
    twice = ada.send(page, f"{lonely}/instead", queue="reports")

    assert "/instead" not in before.text
    assert "Run it in reports instead" in page.text
    assert moved.headers["location"] == twice.headers["location"] != lonely
    old, new = (
        service.ledger.tasks.get(TaskId(path.rpartition("/")[2]))
        for path in (lonely, moved.headers["location"])
    )
    assert (old.state, old.queue) == ("cancelled", "reprots")
    assert (new.state, new.queue, new.arguments) == ("queued", "reports", old.arguments)


def test_a_task_that_a_worker_has_taken_is_not_run_elsewhere(
    service: Service, ada: Browser
) -> None:
    path = submit(ada)
    service.ledger.leases.join(make_worker(id="other", queues=("reports",)))
    page = ada.get(path)
    finish(service, path, result='"done"')

    late = ada.send(page, f"{path}/instead", queue="reports")

    assert late.status_code == 409
    assert "It does not wait for a worker any more." in late.text
    assert len(service.publisher.wait_for(1)) == 1


def test_options_reach_the_task(service: Service, ada: Browser) -> None:
    path = submit(ada, "x", queue="reports", delay_seconds="60", priority="9")

    task = service.ledger.tasks.get(TaskId(path.rpartition("/")[2]))
    assert (task.queue, task.priority, task.state) == ("reports", 9, "scheduled")
    assert "It starts in" in ada.get(path).text


def test_an_unknown_task_is_not_found(ada: Browser) -> None:
    page = ada.get("/ui/submit/nope")

    assert page.status == 404
    assert '<a href="/ui/submit">Submit a task</a> lists the names' in page.text
    assert "GET /" not in page.text


def test_a_task_without_a_title_shows_its_name_once(tmp_path: Path, server: Server) -> None:
    catalogue = ListedCatalogue(process_type(), process_type(name="divide", title=""))
    with Service(tmp_path, server, catalogue=catalogue) as service:
        ada = browser_of(service, "ada")

        choose, form = ada.get("/ui/submit"), ada.get("/ui/submit/divide")

    assert choose.text.count(">divide<") == form.text.count(">divide<") == 1
    assert '<span class="choice-title">divide</span>' in choose.text
    assert "<h1>divide</h1>" in form.text
    assert_outline(form, "form")
    assert "Process some text" in choose.text


def test_a_result_is_shown_and_downloaded_as_a_file(service: Service, ada: Browser) -> None:
    path = submit(ada)
    finish(service, path, result=json.dumps({"html": HOSTILE}))

    page = ada.get(path)
    file = ada.client.get(f"{path}/result")

    assert "Completed" in page.text
    assert "&lt;img src=x" in page.text
    assert json.loads(file.text) == {"html": HOSTILE}
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment;")


def test_a_task_without_a_result_has_nothing_to_download(ada: Browser) -> None:
    assert ada.client.get(f"{submit(ada)}/result").status_code == 404


def test_a_failed_task_shows_its_own_frames_and_folds_those_of_libraries(
    service: Service, ada: Browser
) -> None:
    path = submit(ada)
    error = TaskError(
        kind=ErrorKind.EXCEPTION, type="ValueError", message="no", traceback=TRACEBACK
    )
    finish(service, path, ending=Ending.FAILED, error=error)

    page = ada.get(path)

    assert "<strong>ValueError</strong>: no" in page.text
    folded = re.findall(r"<details .*?</details>", page.text, re.DOTALL)
    in_view = re.sub(r"<details .*?</details>", "", page.text, flags=re.DOTALL)
    assert "/home/ada/shop/tasks.py" in in_view
    assert "trace.py" not in in_view
    assert "1 frame of libraries" in folded[0]
    assert "trace.py" in folded[0]
    # The whole stands by itself, as it was written, for whoever copies it.
    assert f"{escape(TRACEBACK)}</pre>" in folded[1]


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        # raised by the function, which knows that it cannot succeed so
        (TaskError(kind=ErrorKind.EXCEPTION, type="Fail", module=Fail.__module__), "edit"),
        (TaskError(kind=ErrorKind.EXCEPTION, type="OSError", module="builtins"), "again"),
        # somebody's own class of the same name
        (TaskError(kind=ErrorKind.EXCEPTION, type="Fail", module="shop.errors"), "again"),
    ],
)
def test_the_main_button_of_a_failed_task_is_what_may_mend_it(
    service: Service, ada: Browser, error: TaskError, meant: str
) -> None:
    path = submit(ada)
    finish(service, path, ending=Ending.FAILED, error=error)

    page = ada.get(path)

    shown = {
        name: look
        for look, name in re.findall(r'<(?:a|button)([^>]*) id="(again|edit)"', page.text)
    }
    assert {name for name, look in shown.items() if "quiet" not in look} == {meant}


def test_cancel_and_run_again_stand_where_they_make_sense(service: Service, ada: Browser) -> None:
    path = submit(ada, "again and again")

    cancelled = ada.send(path, f"{path}/cancel")
    page = ada.get(path)
    again = ada.send(page, f"{path}/again")

    assert cancelled.headers["location"] == path
    assert "Cancelled before it began." in page.text
    assert f"{path}/cancel" not in page.text
    assert again.headers["location"] != path
    assert "again and again" in ada.get(again.headers["location"]).text


def test_a_task_called_by_place_cannot_be_run_again_by_name(service: Service, ada: Browser) -> None:
    arguments = Arguments(codec=Codec.JSON, text='[["x"], {}]')
    new = NewTask(id=TaskId("by-place"), name="process", arguments=arguments, submitted_by="ada")
    service.ledger.tasks.insert([new])

    response = ada.send("/ui/tasks/by-place", "/ui/tasks/by-place/again")

    assert response.status_code == 409
    assert "by-place/again" not in ada.get("/ui/tasks/by-place").text


def test_edit_and_run_again_fills_the_form(ada: Browser) -> None:
    task_id = submit(ada, "old words").rpartition("/")[2]

    assert "old words" in ada.get(f"/ui/submit/process?from={task_id}").text
    assert ada.get("/ui/submit/process?from=nobody").status == 200


def test_cancelling_what_has_ended_is_told(service: Service, ada: Browser) -> None:
    path = submit(ada)
    page = ada.get(path)
    finish(service, path, result='"done"')

    assert ada.send(page, f"{path}/cancel").status_code == 409


def test_nobody_sees_another_ones_task(service: Service, ada: Browser) -> None:
    path = submit(ada)
    eve = browser_of(service, "eve")

    foreign, missing = eve.get(path), eve.get("/ui/tasks/nobody")

    assert foreign.status == missing.status == 404
    assert path not in eve.get("/ui/tasks?whose=all").text
    assert eve.send("/ui/submit", f"{path}/cancel").status_code == 404


def test_an_operator_may_look_at_everybodys_tasks(service: Service, ada: Browser) -> None:
    path = submit(ada)
    olga = browser_of(service, "olga", Role.OPERATOR)

    before = olga.get("/ui/tasks").text
    assert path not in before
    assert "Others have submitted some: " in before
    assert path in olga.get("/ui/tasks?whose=all").text


def test_whose_own_list_is_empty_is_led_to_what_the_command_line_submitted(
    service: Service,
) -> None:
    olga, eve = browser_of(service, "olga", Role.OPERATOR), browser_of(service, "eve")
    nobodys = olga.get("/ui/tasks").text
    submit(browser_of(service, "local"))

    told = olga.get("/ui/tasks")

    assert "You have not submitted a task yet" in nobodys
    assert "What you ran in a terminal of this machine stands among " in told.text
    assert {"href": "/ui/tasks?whose=all"} in told.all("a")
    assert "You have not submitted a task yet" in eve.get("/ui/tasks").text


def test_whose_own_list_is_not_empty_is_told_of_what_the_command_line_submitted(
    service: Service,
) -> None:
    olga, eve = browser_of(service, "olga", Role.OPERATOR), browser_of(service, "eve")
    for each in (olga, eve):
        submit(each)
    before = olga.get("/ui/tasks").text
    submit(browser_of(service, "local"))

    assert "in a terminal of this machine" not in before
    assert "in a terminal of this machine" in olga.get("/ui/tasks").text
    assert "in a terminal of this machine" not in olga.get("/ui/tasks?whose=all").text
    assert "in a terminal of this machine" not in eve.get("/ui/tasks").text


def test_a_viewer_may_look_and_not_submit(service: Service) -> None:
    viewer = browser_of(service, "vera", Role.VIEWER)

    assert "/ui/submit" not in viewer.get("/ui/tasks").text
    assert viewer.get("/ui/submit").status == 403
    assert viewer.send("/ui/tasks", "/ui/submit/process").status_code == 403


def test_task_modules_that_could_not_be_loaded_are_told_where_one_looks_for_their_tasks(
    tmp_path: Path, server: Server
) -> None:
    catalogue = ListedCatalogue(process_type())
    problem = ImportProblem(
        module="shop.orders", file="/srv/secret/orders.py", line=3, message="NameError: it is <b>"
    )
    with Service(tmp_path, server, catalogue=catalogue) as service:
        ada, olga = browser_of(service, "ada"), browser_of(service, "olga", Role.OPERATOR)
        nothing = ada.get("/ui/submit").text

        catalogue.unloaded = (problem,)
        told, told_all = ada.get("/ui/submit"), olga.get("/ui/submit")

        assert "Some tasks are missing" not in nothing
        for page in (told, told_all):
            assert "The task module shop.orders c" in page.text
            assert_outline(page, "choose")
        assert "could not be loaded: NameError in orders.py, line 3." in told.text
        assert "secret" not in told.text
        assert "it is &lt;b&gt; (/srv/secret/orders.py, line 3)." in told_all.text


def test_the_list_goes_page_by_page(service: Service, ada: Browser) -> None:
    for number in range(51):
        service.clock.advance(seconds=1)
        submit(ada, str(number))

    first = ada.get("/ui/tasks")
    older = next(str(each["href"]) for each in first.all("a") if "after=" in str(each["href"]))
    second = ada.get(older)

    assert (first.text.count("<tr data-task="), second.text.count("<tr data-task=")) == (50, 1)
    assert "Newest</a>" in second.text


def test_a_list_can_be_narrowed(ada: Browser) -> None:
    submit(ada)

    assert "<tr data-task=" in ada.get("/ui/tasks?state=queued&name=process").text
    for query in ("state=failed", "name=report", "name=%00"):
        page = ada.get(f"/ui/tasks?{query}")
        assert page.status == 200
        assert ("<tr data-task=" in page.text) == (query == "name=%00")


def test_a_forged_place_in_the_list_is_refused(ada: Browser) -> None:
    page = ada.get("/ui/tasks?after=forged")

    assert page.status == 422
    assert "no part of your list" in page.text
    assert "see whether the address is written right" in page.text


def test_a_ledger_that_is_away_is_told_as_a_page(service: Service, ada: Browser) -> None:
    service.switched.error = LedgerUnavailableError("db.internal refused")

    page = ada.get("/ui/tasks")

    assert page.status == 503
    assert int(page.headers["retry-after"]) > 0
    assert "db.internal" not in page.text


@pytest.mark.parametrize("name", ["celeriac.css", "live.js", "icon.svg"])
def test_files_are_kept_by_browsers_until_they_change(
    service: Service, stranger: httpx.Client, name: str
) -> None:
    page = stranger.get("/ui/sign-in").text
    url = re.search(rf'"(/ui/static/{name}\?v=[0-9a-f]+)"', page)
    assert url is not None

    response = stranger.get(url[1])

    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    assert stranger.get("/ui/static/none.css").status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_no_page_is_told_as_a_page(stranger: httpx.Client, method: str) -> None:
    response = stranger.request(method, "/ui/nothing")

    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


def test_an_address_that_leads_nowhere_is_a_page_for_a_browser_and_a_problem_for_a_program(
    stranger: httpx.Client, ada: Browser
) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    for_stranger = stranger.get("/nothing", headers=browser)
    for_ada = ada.client.get("/nothing", headers=browser)

    for response in (for_stranger, for_ada):
        assert response.status_code == 404
        assert response.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in response.headers["content-security-policy"]
        assert "There is nothing here" in response.text
    assert "To the sign-in page" in for_stranger.text
    assert "To your tasks" in for_ada.text
    assert "To your tasks" in ada.client.get("/ui/nothing").text
    assert ada.client.get("/nothing").headers["content-type"] == "application/problem+json"


def test_whoever_comes_before_the_first_admin_is_told_of_the_link_that_makes_one(
    service: Service,
) -> None:
    first = Browser(service).get("/")
    browser_of(service, "olga", Role.ADMIN)

    later = Browser(service).get("/")

    assert "the line <code>Open</code>" in first.text
    assert "user add NAME --role admin" in first.text
    assert "No account yet?" not in first.text
    assert "<code>Open</code>" not in later.text
    assert "user add NAME</code>" in later.text


def test_the_sign_in_page_is_there_while_the_ledger_is_away(service: Service) -> None:
    service.switched.error = LedgerUnavailableError("db.internal refused")

    page = Browser(service).get("/ui/sign-in")

    assert page.status == 200
    assert "No account yet?" in page.text


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("/ui/tasks/", "/ui/tasks"),
        ("/ui/tasks/?state=failed&name=a%2Fb", "/ui/tasks?state=failed&name=a%2Fb"),
        ("/ui/", "/ui"),
        ("/ui/submit/process//", "/ui/submit/process"),
        ("/ui/tasks/none/", "/ui/tasks/none"),
        ("/start/secret/", "/start/secret"),
        # to a browser `//host` and `/\\host` are other sites
        ("/ui//elsewhere.example/", "/ui//elsewhere.example"),
        ("/ui/%5C%5Celsewhere.example/", "/ui/%5C%5Celsewhere.example"),
        ("//elsewhere.example/", None),
        ("/ui%2F%2Felsewhere.example/", "/ui//elsewhere.example"),
        ("/%5Celsewhere.example/", None),
        ("/ui/nothing", None),
        ("/tasks/", None),
    ],
)
def test_a_page_is_found_with_a_slash_behind_its_address(
    ada: Browser, asked: str, led: str | None
) -> None:
    url = httpx.URL(ada.client.base_url.copy_with(raw_path=asked.encode()))

    answer = ada.client.get(url, headers={"Accept": "text/html"}, follow_redirects=False)

    assert answer.headers.get("location") == led
    assert answer.status_code == (404 if led is None else 308)


def test_a_form_sent_to_an_address_with_a_slash_is_not_led_on(ada: Browser) -> None:
    assert ada.client.post("/ui/tasks/x/").status_code == 404


def test_a_failure_of_ours_is_told_as_a_page_that_tells_nothing(
    service: Service, ada: Browser
) -> None:
    service.switched.error = RuntimeError("canary")

    page = ada.get("/ui/tasks")

    assert page.status == 500
    assert "Try it again" in page.text
    assert_outline(page, "failure")
    assert "canary" not in page.text
    assert set(page.headers["content-security-policy"].split("; ")) == POLICY
