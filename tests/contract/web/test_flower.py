"""Flower behind our sign-in: the real one, before a real worker."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from celeriac.core.user import Role, Scope
from celeriac.web.flower.routes import POLICY
from tests.contract.web.browser import Browser, browser_of
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Server, Service
from tests.contract.web.test_keys import key_client
from tests.servers.flower import FlowerProcess
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import APP, Stage
from tests.unit.web.flower.test_rules import CHANGING, TELLING

pytestmark = pytest.mark.slow

HTML = {"accept": "text/html"}
# As a browser sends what a page of Flower's asks for.
HERE = {"sec-fetch-site": "same-origin", "x-requested-with": "XMLHttpRequest"}
EVERYBODY = (Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)
TABLE = {
    "draw": "7",
    "start": "0",
    "length": "15",
    "order[0][column]": "0",
    "order[0][dir]": "desc",
    "columns[0][data]": "received",
}


class Scene:
    """A worker, Flower, and two tasks that Flower has seen end."""

    def __init__(self, stage: Stage, flower: FlowerProcess, tasks: tuple[str, str]) -> None:
        self.stage = stage
        self.flower = flower
        self.own, self.others = tasks
        self.worker = stage.worker.name


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("flower")
    with (
        ValkeyServer(folder / "valkey") as broker,
        Stage(folder / "stage", broker=broker, pool="solo") as stage,
    ):
        stage.workers.clear()
        stage.worker = stage.add_worker("w", arguments=("--without-mingle", "--task-events"))
        stage.worker.start_ready()
        flower = FlowerProcess(APP, folder=folder, environment=stage.environment)
        with flower:
            flower.wait_until(flower._answers, "it answers", seconds=60)
            tasks = (stage.client.add.delay(1, 2).id, stage.client.add.delay(3, 4).id)
            for task_id in tasks:
                url = f"{flower.url}/api/task/info/{task_id}"
                wait_until(lambda: httpx.get(url).status_code == 200, "Flower knows it")  # noqa: B023
            workers = f"{flower.url}/api/workers?refresh=1"
            wait_until(lambda: stage.worker.name in httpx.get(workers, timeout=30).json(), "joined")
            yield Scene(stage, flower, tasks)


@pytest.fixture
def service(tmp_path: Path, server: Server, scene: Scene) -> Iterator[Service]:
    with Service(tmp_path, server, flower_url=scene.flower.url) as service:
        yield service


@pytest.fixture
def olga(service: Service) -> Browser:
    """A browser of an operator."""
    return browser_of(service, "olga", Role.OPERATOR)


@pytest.fixture
def ada(service: Service, scene: Scene) -> Browser:
    """A browser of a submitter, to whom one of the tasks belongs."""
    mine = NewTask(
        id=TaskId(scene.own),
        name="add",
        arguments=Arguments(codec=Codec.JSON, text="[[],{}]"),
        submitted_by="ada",
    )
    service.ledger.tasks.insert([mine])
    return browser_of(service, "ada")


def test_whoever_is_not_signed_in_is_led_to_the_sign_in_and_back(service: Service) -> None:
    service.add_user("ada")
    stranger = Browser(service)

    led = stranger.client.get("/flower/tasks?state=FAILURE", headers=HTML)
    page = stranger.get(led.headers["location"])
    signed_in = stranger.send(
        page,
        "/ui/sign-in",
        name="ada",
        password="four walnut umbrellas dancing",
        next=page.value("next"),
    )

    assert led.status_code == 303
    assert signed_in.headers["location"] == "/flower/tasks?state=FAILURE"


@pytest.mark.parametrize("path", ["/flower/", "/flower/metrics", "/flower/healthcheck"])
def test_nothing_of_flower_is_for_strangers(service: Service, path: str) -> None:
    assert service.client().get(path, headers=HERE).status_code == 401
    bad_token = service.client("no-token").get(path)
    assert_problem(bad_token, 401, "not_authenticated")


@pytest.mark.parametrize("role", EVERYBODY)
def test_its_pages_are_for_everybody_who_is_signed_in(service: Service, role: Role) -> None:
    browser = browser_of(service, "who", role)

    for path in ("/flower", "/flower/", "/flower/workers", "/flower/tasks", "/flower/broker"):
        page = browser.client.get(path, headers=HTML, follow_redirects=True)
        assert page.status_code == 200, path
        assert "Flower" in page.text
        assert page.headers["content-security-policy"] == POLICY
        assert page.text.count('href="/ui"') == 1, path
        assert page.text.rstrip().endswith("</html>")
    assert browser.client.get("/flower/healthcheck", headers=HERE).text == "OK"


def test_the_page_of_workers_lives(service: Service, scene: Scene) -> None:
    vera = browser_of(service, "vera", Role.VIEWER)

    told = vera.client.get("/flower/workers?json=1", headers=HERE).json()["data"]

    assert [each["hostname"] for each in told] == [scene.worker]


def test_every_file_of_a_page_comes_through_and_is_kept_by_the_browser(olga: Browser) -> None:
    page = olga.client.get("/flower/", headers=HTML)

    files = re.findall(r'(?:src|href)="(/flower/static/[^"]+)"', page.text)
    assert len(files) > 8
    for file in files:
        answer = olga.client.get(file)
        assert answer.status_code == 200, file
        assert olga.client.head(file).status_code == 200
        assert answer.headers["cache-control"].startswith("private, max-age=")
    again = olga.client.get(files[0], headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code in (200, 304)


@pytest.mark.parametrize("page", ["/flower/", "/flower/tasks", "/flower/broker"])
def test_only_scripts_that_we_know_are_run(olga: Browser, page: str) -> None:
    text = olga.client.get(page, headers=HTML).text

    for script in re.findall(r"<script(?![^>]*src=)[^>]*>(.+?)</script>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in POLICY
    scripts = POLICY.partition("script-src")[2].partition(";")[0]
    assert "unsafe-inline" not in scripts


def test_an_operator_steers(olga: Browser, scene: Scene) -> None:
    limited = olga.client.post(
        f"/flower/api/task/rate-limit/{scene.stage.client.add.name}",
        data={"workername": scene.worker, "ratelimit": "100"},
        headers=HERE,
    )

    assert (limited.status_code, limited.json()) == (
        200,
        {"message": "new rate limit set successfully"},
    )
    page = olga.client.get(f"/flower/worker/{scene.worker}", headers=HTML)
    assert page.status_code == 200
    assert "Shut Down" in page.text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_nobody_else_steers(service: Service, scene: Scene, role: Role) -> None:
    browser = browser_of(service, "who", role)

    for path in CHANGING:
        real = path.replace("celery@host", scene.worker)
        answer = browser.client.post(f"/flower{real}", data={"n": "1"}, headers=HERE)
        assert answer.status_code == 403, path
        assert answer.text == "Only operators change anything in Flower."
    for method in ("PUT", "PATCH", "DELETE"):
        assert browser.client.request(method, "/flower/workers", headers=HERE).status_code == 403
    assert scene.stage.worker.is_running


@pytest.mark.parametrize("path", TELLING)
def test_nobody_else_sees_what_tells_of_every_task(
    service: Service, scene: Scene, path: str
) -> None:
    vera = browser_of(service, "vera", Role.VIEWER)

    answer = vera.client.get(f"/flower{path}".replace("celery@host", scene.worker), headers=HTML)

    assert answer.status_code == 403
    assert "Only operators see this part of Flower" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://evil.example", "x-requested-with": "XMLHttpRequest"},
    ],
)
def test_another_site_makes_nobody_steer(olga: Browser, headers: dict[str, str]) -> None:
    answer = olga.client.post("/flower/api/task/revoke/1", headers=headers)

    assert answer.status_code == 403


def test_an_old_browser_names_its_origin(olga: Browser, service: Service, scene: Scene) -> None:
    answer = olga.client.post(
        f"/flower/api/task/revoke/{scene.others}", headers={"origin": service.url}
    )

    assert answer.status_code == 200


def test_a_list_holds_ones_own_tasks(ada: Browser, olga: Browser, scene: Scene) -> None:
    mine = ada.client.post("/flower/tasks/datatable", data=TABLE, headers=HERE).json()
    all_of_them = olga.client.post("/flower/tasks/datatable", data=TABLE, headers=HERE).json()

    assert [each["uuid"] for each in mine["data"]] == [scene.own]
    assert (mine["draw"], mine["recordsTotal"], mine["recordsFiltered"]) == (7, 1, 1)
    assert {scene.own, scene.others} <= {each["uuid"] for each in all_of_them["data"]}
    looked = ada.client.get("/flower/tasks/datatable", params=TABLE, headers=HERE).json()
    assert looked == mine
    beyond = ada.client.post(
        "/flower/tasks/datatable", data={**TABLE, "start": "1"}, headers=HERE
    ).json()
    assert (beyond["data"], beyond["recordsTotal"]) == ([], 1)


def test_a_task_of_somebody_else_is_as_if_there_were_none(ada: Browser, scene: Scene) -> None:
    mine = ada.client.get(f"/flower/task/{scene.own}", headers=HTML)
    others = ada.client.get(f"/flower/task/{scene.others}", headers=HTML)
    none = ada.client.get("/flower/task/none", headers=HTML)

    assert (mine.status_code, others.status_code, none.status_code) == (200, 404, 404)
    assert scene.own in mine.text
    assert others.text.replace(scene.others, "none") == none.text


def test_a_program_of_an_operators_reads_the_metrics(service: Service) -> None:
    client = key_client(service, scopes=frozenset({Scope.READ, Scope.OPERATE}))

    metrics = client.get("/flower/metrics")

    assert metrics.status_code == 200
    assert "flower_events_total" in metrics.text


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": frozenset({Scope.READ, Scope.SUBMIT})},
        {"scopes": frozenset({Scope.READ, Scope.OPERATE}), "task_patterns": ("add",)},
    ],
)
def test_a_key_that_may_not_see_everything_does_not(
    service: Service, changes: dict[str, object]
) -> None:
    answer = key_client(service, **changes).get("/flower/metrics")

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


def test_nobody_submits_past_the_service(olga: Browser) -> None:
    answer = olga.client.post(
        "/flower/api/task/async-apply/add", json={"args": [1, 2]}, headers=HERE
    )

    assert (answer.status_code, answer.text) == (403, "Flower submits no tasks here.")


def test_whoever_signs_out_is_out_of_flower_too(olga: Browser) -> None:
    session = "; ".join(f"{name}={value}" for name, value in olga.client.cookies.items())
    assert olga.client.get("/flower/", headers={"cookie": session}).status_code == 200
    olga.send("/ui/tasks", "/ui/sign-out")

    answer = olga.client.get("/flower/", headers={"cookie": session, **HERE})

    assert answer.status_code == 401
