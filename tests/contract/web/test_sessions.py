from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from celeriac.core.page import TaskFilter
from celeriac.core.task import TaskId
from celeriac.core.user import Role
from celeriac.service.password_links import PasswordLinks
from celeriac.service.start_links import StartLinks
from celeriac.web.dashboard import access, submit, tasks
from tests.contract.web.browser import Browser, Page, browser_of
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import HASHER, PASSWORD, Server, Service
from tests.fakes import make_user

FORMS = (
    "/ui/sign-in",
    "/ui/sign-out",
    "/ui/submit/process",
    "/ui/tasks/x/cancel",
    "/ui/tasks/x/again",
    "/ui/tasks/x/instead",
    "/start/x",
)


@pytest.fixture
def browser(service: Service) -> Browser:
    """A browser in which Ada is signed in."""
    return browser_of(service, "ada")


@pytest.fixture
def link(service: Service) -> str:
    return f"/start/{StartLinks(service.ledger, now=service.clock).make()}"


def test_the_root_leads_to_the_pages_and_they_to_the_sign_in(stranger: httpx.Client) -> None:
    response = stranger.get("/", follow_redirects=True)

    assert response.url.path == "/ui/sign-in"
    assert [each.url.path for each in response.history] == ["/", "/ui", "/ui/tasks"]


def test_the_pages_name_commands_as_they_are_typed_where_the_service_was_started(
    service: Service, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_COMMAND", "python3 run.py")
    browser = Browser(service)

    sign_in = browser.get("/ui/sign-in").text
    lost = browser.get("/start/nothing").text
    wrong = service.client().post("/token", data={"username": "ada", "password": "x"})

    assert "<code>python3 run.py user add NAME --role admin</code>" in sign_in
    assert "<code>python3 run.py up</code>" in lost
    assert "`python3 run.py user set-password NAME`" in wrong.json()["fix"]


def test_signing_in_leads_to_where_one_wanted_to_go(service: Service) -> None:
    service.add_user("ada")
    browser = Browser(service)

    page = browser.get("/ui/submit?x=1")
    response = browser.send(
        page, "/ui/sign-in", name="ada", password=PASSWORD, next=page.value("next")
    )

    assert (response.status_code, response.headers["location"]) == (303, "/ui/submit?x=1")
    assert browser.get("/ui/tasks").status == 200


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/ui/\\x",
        "/tasks",
        "",
        "/ui/\n",
    ],
)
def test_signing_in_leads_to_no_other_site(service: Service, wanted: str) -> None:
    service.add_user("ada")

    response = Browser(service).send(
        "/ui/sign-in", "/ui/sign-in", name="ada", password=PASSWORD, next=wanted
    )

    assert response.headers["location"] == "/ui/tasks"


@pytest.mark.parametrize(("name", "password"), [("ada", "guess"), ("eve", PASSWORD), ("", "")])
def test_a_wrong_sign_in_is_told_without_saying_what_was_wrong(
    service: Service, name: str, password: str
) -> None:
    service.add_user("ada")

    response = Browser(service).sign_in(name, password)

    assert response.status_code == 401
    assert "The name or the password is wrong." in response.text
    assert not any("session" in name for name in response.cookies)
    assert password == "" or password not in response.text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(service: Service) -> None:
    service.add_user("ada")

    sent = Browser(service).sign_in("ada").headers["set-cookie"]

    session = next(each for each in sent.split(", ") if each.startswith("celeriac_session_"))
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(session.split("; "))


def test_two_services_of_one_machine_do_not_sign_each_other_s_users_out(
    service: Service, browser: Browser
) -> None:
    # As it would be with another one there: the same names, other values.
    other = "127.0.0.1:8001"
    signed_in_there = {"celeriac_session_8001": "another's", "celeriac_visitor_8001": "another's"}
    browser.client.cookies.update(signed_in_there)

    assert browser.client.get("/ui/tasks").status_code == 200
    page = service.client(Host=other).get("/ui/sign-in")

    assert page.headers["set-cookie"].startswith("celeriac_visitor_8001=")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("tasks.example.org", "celeriac_visitor"),
        ("tasks.example.org:8443", "celeriac_visitor_8443"),
        ("[::1]", "celeriac_visitor"),
        ("[::1]:8000", "celeriac_visitor_8000"),
    ],
)
def test_a_cookie_bears_the_port_that_the_browser_asked_at(
    service: Service, host: str, name: str
) -> None:
    sent = service.client(Host=host).get("/ui/sign-in").headers["set-cookie"]

    assert sent.startswith(f"{name}=")


def test_behind_a_proxy_with_tls_the_cookie_is_bound_to_the_host(
    tmp_path: Path, server: Server
) -> None:
    with Service(tmp_path, server, trusted_proxies=1) as service:
        service.add_user("ada")
        client = service.client(**{"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"})
        first = client.get("/ui/sign-in")
        cookie = first.headers["set-cookie"].partition(";")[0]
        form = {
            "form_token": Page(first).value("form_token"),
            "name": "ada",
            "password": PASSWORD,
        }

        # By hand: a client keeps a secure cookie to itself on a plain connection.
        sent = client.post("/ui/sign-in", data=form, headers={"Cookie": cookie})

        port = service.url.rpartition(":")[2]
        assert cookie.startswith(f"__Host-celeriac_visitor_{port}=")
        assert sent.status_code == 303
        assert f"__Host-celeriac_session_{port}=" in sent.headers["set-cookie"]
        assert "; Secure" in sent.headers["set-cookie"]


def test_signing_out_ends_the_session_even_for_a_copy_of_its_cookie(
    service: Service, browser: Browser
) -> None:
    copy = service.client()
    copy.cookies.update(browser.client.cookies)

    response = browser.send("/ui/tasks", "/ui/sign-out")

    assert response.headers["location"] == "/ui/sign-in"
    assert copy.get("/ui/tasks").headers["location"] == "/ui/sign-in"


def test_a_disabled_user_is_out_with_the_next_request(service: Service, browser: Browser) -> None:
    assert browser.client.get("/ui/tasks").status_code == 200

    service.ledger.users.disable("ada")

    assert browser.client.get("/ui/tasks").headers["location"] == "/ui/sign-in"


def test_a_session_ends_by_itself(service: Service, browser: Browser) -> None:
    service.clock.advance(hours=12)

    assert browser.client.get("/ui/tasks").status_code == 303


def test_a_session_is_no_token_and_a_token_no_session(service: Service, browser: Browser) -> None:
    name = f"celeriac_session_{service.url.rpartition(':')[2]}"
    session = browser.client.cookies[name]
    token = service.tokens.issue(make_user()).text

    assert_problem(service.client(session).get("/tasks"), 401, "not_authenticated")
    stranger = service.client(Cookie=f"{name}={token}")
    assert stranger.get("/ui/tasks").headers["location"] == "/ui/sign-in"
    assert_problem(browser.client.get("/tasks"), 401, "not_authenticated")


def test_every_form_there_is_stands_among_those_that_are_tried() -> None:
    routers = (access.router, submit.router, tasks.router)
    routes = [each for router in routers for each in router.routes if isinstance(each, APIRoute)]

    taking = {route.path for route in routes if "POST" in (route.methods or ())}

    tried = {path: [each for each in FORMS if compile_path(path)[0].match(each)] for path in taking}
    assert "/ui/submit/{name:path}" in tried
    assert [path for path, forms in tried.items() if not forms] == []


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_a_form_that_another_site_sends_is_refused(browser: Browser, path: str, site: str) -> None:
    form = {"form_token": browser.get("/ui/submit/process").value("form_token")}

    response = browser.client.post(path, data=form, headers={"Sec-Fetch-Site": site})

    assert response.status_code == 403


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", [None, "", "x", "é"])
def test_a_form_without_its_token_is_refused(
    browser: Browser, path: str, token: str | None
) -> None:
    form = {"name": "x", **({} if token is None else {"form_token": token})}

    response = browser.client.post(path, data=form)

    assert response.status_code == 403
    assert "too old, or comes from elsewhere" in response.text


def test_what_was_typed_into_an_old_form_is_shown_again_and_sent_from_there(
    service: Service, browser: Browser
) -> None:
    typed = {"arg.data": "an hour's work", "priority": "7"}

    old = browser.client.post("/ui/submit/process", data={**typed, "form_token": "old"})
    page = Page(old)
    again = browser.send(page, "/ui/submit/process", **typed)

    assert old.status_code == 403
    assert "an hour&#39;s work</textarea>" in page.text
    assert page.value("priority") == "7"
    assert again.status_code == 303
    [task] = service.ledger.tasks.list(TaskFilter(), after=None, limit=9).items
    assert "an hour's work" in task.arguments.text


def test_what_was_typed_while_the_session_ended_is_there_after_signing_in(
    service: Service, browser: Browser
) -> None:
    typed = {"arg.data": "an hour's work", "priority": "7"}
    form = browser.get("/ui/submit/process")
    browser.client.cookies.clear()

    asked = Page(browser.client.post("/ui/submit/process", data={**typed, "nonce": "n"}))
    own = {"name": "ada", "next": asked.value("next"), "form_token": asked.value("form_token")}
    kept = {name: asked.value(name) for name in (*typed, "nonce")}
    wrong = Page(browser.client.post("/ui/sign-in", data={**own, **kept, "password": "wrong"}))
    right = browser.client.post("/ui/sign-in", data={**own, **kept, "password": PASSWORD})
    assert right.next_request is not None
    shown = Page(browser.client.send(right.next_request))

    assert form.status == 200
    assert (asked.status, wrong.status, right.status_code) == (401, 401, 307)
    assert "nothing was submitted" in asked.text
    assert wrong.value("arg.data") == "an hour's work"
    assert "an hour&#39;s work</textarea>" in shown.text
    assert shown.value("priority") == "7"
    assert PASSWORD not in shown.text
    assert service.ledger.tasks.list(TaskFilter(), after=None, limit=9).items == ()


@pytest.mark.parametrize(
    ("act", "asked", "told"),
    [
        ("cancel", "the task was not cancelled", "The task was not cancelled"),
        ("again", "nothing was run again", "The task was not run again"),
    ],
)
def test_what_was_to_be_done_while_the_session_ended_is_told_on_the_tasks_page_and_not_done(
    service: Service, browser: Browser, act: str, asked: str, told: str
) -> None:
    path = browser.send("/ui/submit/process", "/ui/submit/process", **{"arg.data": "x"}).headers[
        "location"
    ]
    if act == "again":
        browser.send(path, f"{path}/cancel")
    state = service.ledger.tasks.get(TaskId(path.rpartition("/")[2])).state
    browser.client.cookies.clear()

    sign_in = Page(browser.client.post(f"{path}/{act}", data={"form_token": "of before"}))
    answer = browser.send(
        sign_in, "/ui/sign-in", name="ada", password=PASSWORD, next=sign_in.value("next")
    )
    page = browser.get(answer.headers["location"])

    assert sign_in.status == 401
    assert asked in sign_in.text
    assert answer.headers["location"].partition("?")[0] == path
    assert told in page.text
    [task] = service.ledger.tasks.list(TaskFilter(), after=None, limit=9).items
    assert task.state is state
    done = browser.send(page, f"{path}/{act}")
    assert done.status_code == 303
    assert "you had been signed out" not in browser.get(done.headers["location"]).text


def test_another_sites_act_leads_to_the_sign_in_and_to_nothing_more(service: Service) -> None:
    response = service.client().post(
        "/ui/tasks/x/cancel", data={}, headers={"Sec-Fetch-Site": "cross-site"}
    )

    assert response.headers["location"] == "/ui/sign-in"


def test_a_narrowed_list_is_there_again_after_signing_in(service: Service) -> None:
    response = service.client().get("/ui/tasks?state=failed")

    assert response.headers["location"] == "/ui/sign-in?next=%2Fui%2Ftasks%3Fstate%3Dfailed"


def test_what_another_site_typed_is_not_kept(service: Service) -> None:
    stranger = service.client()

    response = stranger.post(
        "/ui/submit/process",
        data={"arg.data": "theirs"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert response.status_code == 303
    assert "theirs" not in response.text


def test_a_form_of_another_session_is_refused(service: Service, browser: Browser) -> None:
    other = browser_of(service, "eve").get("/ui/submit/process").value("form_token")

    response = browser.client.post("/ui/sign-out", data={"form_token": other})

    assert response.status_code == 403


@pytest.mark.parametrize("type_", ["text/plain", "application/json", "multipart/form-data"])
def test_a_form_in_another_format_is_refused(browser: Browser, type_: str) -> None:
    response = browser.client.post("/ui/sign-out", content=b"x", headers={"Content-Type": type_})

    assert response.status_code == 415


def test_guesses_are_counted_before_anything_is_hashed(tmp_path: Path, server: Server) -> None:
    with Service(tmp_path, server, login_limit="3/minute") as service:
        service.add_user("ada")
        browser = Browser(service)

        statuses = [browser.sign_in("ada", "wrong").status_code for _ in range(4)]

        assert statuses == [401, 401, 401, 429]
        last = browser.sign_in("ada")
        assert last.status_code == 429
        assert int(last.headers["retry-after"]) > 0
        # One count with the API's.
        form = {"username": "ada", "password": PASSWORD}
        assert_problem(service.client().post("/token", data=form), 429, "rate_limited")


def test_pages_are_counted_too(tmp_path: Path, server: Server) -> None:
    with Service(tmp_path, server, rate_limit="1/minute") as service:
        statuses = [service.client().get("/ui/sign-in").status_code for _ in range(7)]

        assert statuses == [200] * 6 + [429]


def test_the_start_link_makes_the_first_admin_and_signs_them_in(
    service: Service, link: str
) -> None:
    browser = Browser(service)

    response = browser.send(link, link, name="grace", password=PASSWORD)

    assert (response.status_code, response.headers["location"]) == (303, "/ui/first-steps")
    user = service.ledger.users.find("grace")
    assert user is not None
    assert user.role is Role.ADMIN
    assert "grace" in browser.get("/ui/first-steps").text


def test_a_link_lets_a_user_choose_their_password_and_signs_them_in(service: Service) -> None:
    # Given: Ada, who is signed in somewhere, and has forgotten her password
    elsewhere = browser_of(service, "ada")
    link = f"/start/{PasswordLinks(service.ledger, now=service.clock).make('ada')}"
    browser = Browser(service)

    # When: she opens the link, and sends another name as well
    page = browser.get(link)
    assert "This link is for ada." in page.text
    chosen = "four words of her own"
    response = browser.send(link, link, name="grace", password=chosen)

    # Then: she is in, with the new password alone, and everywhere else out
    assert (response.status_code, response.headers["location"]) == (303, "/ui/first-steps")
    assert "ada" in browser.get("/ui/first-steps").text
    user = service.ledger.users.find("ada")
    assert user is not None
    assert HASHER.verify(chosen, user.password_hash)
    assert service.ledger.users.find("grace") is None
    assert elsewhere.client.get("/ui/tasks").status_code == 303

    # And the link is used
    again = Browser(service).get(link)
    assert again.status == 404
    assert "it has been used" in again.text
    assert "<h1>This link is not good any more</h1>" in again.text


def test_a_weak_password_leaves_a_users_link_good(service: Service) -> None:
    service.add_user("ada")
    link = f"/start/{PasswordLinks(service.ledger, now=service.clock).make('ada')}"
    browser = Browser(service)

    weak = browser.send(link, link, name="ada", password="password1234")

    assert weak.status_code == 422
    assert "The password is too well known." in weak.text
    assert browser.send(link, link, name="ada", password=PASSWORD).status_code == 303


def test_a_weak_password_is_told_and_leaves_the_link_good(service: Service, link: str) -> None:
    browser = Browser(service)

    weak = browser.send(link, link, name="grace", password="password1234")

    assert weak.status_code == 422
    assert "The password is too well known." in weak.text
    assert 'value="grace"' in weak.text
    assert "password1234" not in weak.text
    assert browser.send(link, link, name="grace", password=PASSWORD).status_code == 303


def test_a_name_that_cannot_be_is_told(service: Service, link: str) -> None:
    response = Browser(service).send(link, link, name="<b>", password=PASSWORD)

    assert response.status_code == 422
    assert "1 to 64 letters" in response.text


def test_a_used_link_says_so(service: Service, link: str) -> None:
    Browser(service).send(link, link, name="grace", password=PASSWORD)
    second = Browser(service)

    page = second.get(link)

    assert page.status == 409
    assert "This start link has been used." in page.text
    assert "<h1>This link is not good any more</h1>" in page.text
    form = {"form_token": second.get("/ui/sign-in").value("form_token"), "name": "eve"}
    assert second.client.post(link, data={**form, "password": PASSWORD}).status_code == 409


def test_an_old_link_says_so(service: Service, link: str) -> None:
    service.clock.advance(minutes=31)

    page = Browser(service).get(link)

    assert page.status == 404
    assert "30 minutes are over" in page.text
