"""The first steps: ticked off by what is there, and a key that is shown once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from celeriac.core.outcome import Ending
from celeriac.core.page import MAX_PAGE_SIZE
from celeriac.core.state import ErrorKind
from celeriac.core.task import Arguments, Codec, NewTask, TaskError, TaskId
from celeriac.core.user import Role
from celeriac.samples import NAMES
from celeriac.samples.images import thumbnail
from celeriac.samples.numbers import primes
from celeriac.samples.text import wordcount
from tests.contract.web.browser import Browser, Page, browser_of
from tests.contract.web.service import Server, Service
from tests.contract.web.test_reading import end
from tests.fakes import FunctionCatalogue, ListedCatalogue, process_type

STEPS = "/ui/first-steps"
KEY = re.compile(r"ck_[A-Za-z0-9_-]{40,}")


def body_of(task: Any) -> Callable[..., Any]:
    body: Callable[..., Any] = task.run
    return body


@pytest.fixture
def service(tmp_path: Path, server: Server) -> Any:
    """A service with samples, and a task of somebody's own."""
    functions = {
        "text.wordcount": body_of(wordcount),
        "numbers.primes": body_of(primes),
        "image.thumbnail": body_of(thumbnail),
        "shop.pack": lambda: None,
    }
    with Service(tmp_path, server, catalogue=FunctionCatalogue(**functions)) as service:
        yield service


@pytest.fixture
def ada(service: Service) -> Browser:
    return browser_of(service, "ada")


def run(service: Service, name: str, *, by: str = "ada", fails: bool = False) -> TaskId:
    """Have somebody's task run to its end."""
    service.clock.advance(seconds=1)
    task_id = TaskId(f"{by}-{service.clock().timestamp():.0f}")
    arguments = Arguments(codec=Codec.JSON, text="[[], {}]")
    new = NewTask(id=task_id, name=name, arguments=arguments, submitted_by=by)
    service.ledger.tasks.insert([new])
    error = TaskError(kind=ErrorKind.EXCEPTION, type="Fail", message="no", traceback="")
    facts = {"error": error} if fails else {"result": "1"}
    end(service, task_id, Ending.FAILED if fails else Ending.COMPLETED, **facts)
    return task_id


def kinds(page: Page) -> list[str]:
    """Return what the steps of a page are about, in order; those that are done with a tick."""
    return [
        str(each["id"]).removeprefix("step-") + ("✓" if "is-done" in str(each["class"]) else "")
        for each in page.all("li")
    ]


def leads_to_steps(page: Page) -> bool:
    return any(each.get("href") == STEPS for each in page.all("a"))


def test_each_step_runs_with_a_link_and_is_told_for_a_terminal_curl_and_python(
    service: Service, ada: Browser
) -> None:
    page = ada.get(STEPS)

    assert kinds(page) == ["text", "numbers", "picture", "error", "code"]
    assert "0 of 5 done" in page.text
    link = "/ui/submit/text.wordcount?arg.text=one+two+two"
    assert link in [each.get("href") for each in page.all("a")]
    assert "one two two</textarea>" in ada.get(link).text
    for said in (
        "submit text.wordcount text=&#34;one two two&#34; --watch",
        f"curl {service.url}/tasks/text.wordcount",
        "client.run(&#34;text.wordcount&#34;, text=&#34;one two two&#34;)",
    ):
        assert said in page.text


def test_the_link_of_a_step_submits_nothing_by_itself(service: Service, ada: Browser) -> None:
    ada.get("/ui/submit/text.wordcount?arg.text=hello&arg.stray=1")

    assert service.ledger.tasks.glance_at_newest("ada") == ()


def test_steps_are_ticked_off_by_tasks_that_are_there(service: Service, ada: Browser) -> None:
    done = run(service, "text.wordcount")
    failed = run(service, "image.thumbnail", fails=True)
    before = ada.get(STEPS)
    run(service, "image.thumbnail")

    after = ada.get(STEPS)

    assert kinds(before) == ["text✓", "numbers", "picture", "error", "code"]
    links = [each.get("href") for each in before.all("a")]
    assert f"/ui/tasks/{done}" in links
    assert "image.thumbnail failed, and its page says why." in before.text
    assert f"/ui/tasks/{failed}" in links
    assert kinds(after) == ["text✓", "numbers", "picture✓", "error✓", "code"]
    assert "3 of 5 done" in after.text


def test_what_others_did_counts_for_them_and_the_command_line_for_its_operators(
    service: Service, ada: Browser
) -> None:
    run(service, "text.wordcount", by="eve")
    run(service, "numbers.primes", by="local")

    olga, root = (
        browser_of(service, name, role)
        for name, role in (("olga", Role.OPERATOR), ("root", Role.ADMIN))
    )

    assert kinds(ada.get(STEPS)) == ["text", "numbers", "picture", "error", "code"]
    assert kinds(olga.get(STEPS)) == ["text", "numbers✓", "picture", "error", "code"]
    # Only an admin is told how the samples are turned off.
    assert kinds(root.get(STEPS)) == ["text", "numbers✓", "picture", "error", "code", "samples"]
    assert "CELERIAC_SAMPLES=off" in root.get(STEPS).text


def test_pages_lead_to_the_steps_until_all_are_done(service: Service, ada: Browser) -> None:
    assert 'Or take <a href="/ui/first-steps">the first steps</a>' in ada.get("/ui/tasks").text
    pages = ("/ui/tasks", "/ui/submit", "/ui/submit/text.wordcount")
    before = [leads_to_steps(ada.get(each)) for each in pages]
    run(service, "image.thumbnail", fails=True)
    for name in ("text.wordcount", "numbers.primes", "image.thumbnail"):
        last = run(service, name)
    waiting = leads_to_steps(ada.get(f"/ui/tasks/{last}"))
    use(service, made_key(ada))

    after = [leads_to_steps(ada.get(each)) for each in pages]

    # The page on which one chooses a task goes on saying where a key is made.
    assert (before, waiting, after) == ([True] * 3, True, [False, True, False])
    assert "All done" in ada.get(STEPS).text


def test_whoever_has_submitted_many_tasks_is_not_led_to_the_first_steps(
    service: Service, ada: Browser
) -> None:
    arguments = Arguments(codec=Codec.JSON, text="[[], {}]")
    service.ledger.tasks.insert(
        [
            NewTask(id=TaskId(f"t{n}"), name="shop.pack", arguments=arguments, submitted_by="ada")
            for n in range(MAX_PAGE_SIZE)
        ]
    )

    assert not leads_to_steps(ada.get("/ui/tasks"))
    assert ada.get(STEPS).status == 200


def test_a_viewer_is_led_to_no_steps(service: Service) -> None:
    viewer = browser_of(service, "vera", Role.VIEWER)

    assert not leads_to_steps(viewer.get("/ui/tasks"))
    assert viewer.get(STEPS).status == 403
    assert viewer.send("/ui/tasks", f"{STEPS}/key").status_code == 403


@pytest.mark.parametrize(
    ("names", "said"),
    [(("shop.send", "shop.pack"), "submit shop.pack data=hello --watch"), ((), "init</pre>")],
)
def test_without_samples_the_steps_run_a_task_of_ones_own(
    tmp_path: Path, server: Server, names: tuple[str, ...], said: str
) -> None:
    catalogue = ListedCatalogue(*(process_type(name=name) for name in names))
    with Service(tmp_path, server, catalogue=catalogue) as service:
        root = browser_of(service, "root", Role.ADMIN)

        page, choose = root.get(STEPS), root.get("/ui/submit")
        key = root.send(STEPS, f"{STEPS}/key")

        assert kinds(page) == ["own", "code"]
        assert said in page.text
        assert not [name for name in NAMES if name in page.text + key.text]
        assert names or "python run.py init</code> writes a file" in choose.text
        if names:
            run(service, names[0], by="root")
            assert kinds(root.get(STEPS)) == ["own✓", "code"]


def made_key(browser: Browser) -> str:
    """Make a key with one click, and return it."""
    response = browser.send(STEPS, f"{STEPS}/key")
    assert response.status_code == 200, response.text
    found = set(KEY.findall(response.text))
    assert len(found) == 1
    return str(found.pop())


def use(service: Service, key: str) -> httpx.Response:
    return service.client(key).get("/tasks")


def test_a_key_is_made_with_one_click_and_shown_once(
    service: Service, ada: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    response = ada.send(STEPS, f"{STEPS}/key")
    (key,) = set(KEY.findall(response.text))

    assert response.headers["cache-control"] == "no-store"
    assert response.history == []
    assert key not in str(response.url)
    assert f"with Client(&#34;{service.url}&#34;, KEY) as client:" in response.text
    assert f"curl {service.url}/tasks/text.wordcount" in response.text
    # Never again, nowhere.
    assert key not in ada.get(STEPS).text
    assert key not in caplog.text
    assert not any(key in str(each.__dict__) for each in caplog.records)
    (made,) = service.ledger.keys.list("ada")
    assert (made.label, made.expires_at) == ("my app", None)
    assert {scope.value for scope in made.scopes} == {"read", "submit"}


def test_the_first_use_of_a_key_ticks_its_step_off(service: Service, ada: Browser) -> None:
    key = made_key(ada)
    before = kinds(ada.get(STEPS))

    answer = use(service, key)

    assert answer.status_code == 200
    assert (before[-1], kinds(ada.get(STEPS))[-1]) == ("code", "code✓")


def test_another_key_takes_the_place_of_one_that_was_never_used(
    service: Service, ada: Browser
) -> None:
    kept = made_key(ada)
    use(service, kept)
    lost, found = made_key(ada), made_key(ada)

    answers = [use(service, each).status_code for each in (kept, lost, found)]

    assert answers == [200, 401, 200]


def test_a_key_is_made_for_nobody_elses_page(service: Service, ada: Browser) -> None:
    forged = ada.client.post(f"{STEPS}/key", data={"form_token": "guessed"})
    page = ada.get(STEPS)
    elsewhere = ada.client.post(
        f"{STEPS}/key",
        data={"form_token": page.value("form_token")},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    read = ada.client.get(f"{STEPS}/key")
    stranger = service.client().post(f"{STEPS}/key", data={"form_token": "x"})

    assert [each.status_code for each in (forged, elsewhere)] == [403, 403]
    assert f'<a class="button" href="{STEPS}">Back to the first steps</a>' in forged.text
    assert (read.status_code, read.headers["location"]) == (303, STEPS)
    # From there it leads to the steps, by the address of the key.
    assert stranger.headers["location"] == "/ui/sign-in?next=%2Fui%2Ffirst-steps%2Fkey"
    assert service.ledger.keys.list("ada") == ()


def test_a_host_that_is_none_stands_in_no_snippet(service: Service, ada: Browser) -> None:
    # The cookies of somebody who is signed in are named by the port.
    port = ada.client.base_url.port
    page = Page(ada.client.get(STEPS, headers={"Host": f"evil$(id):{port}"}))

    assert "evil" not in page.text
    assert "http://127.0.0.1:8000/tasks" in page.text
