from __future__ import annotations

import pytest

from celeriac.web.flower.rules import Way, changes, task_of, way_of
from celeriac.web.refusals import FlowerRefusedError

WORKER = "celery@host"
CHANGING = (
    f"/api/worker/shutdown/{WORKER}",
    f"/api/worker/pool/restart/{WORKER}",
    f"/api/worker/pool/grow/{WORKER}",
    f"/api/worker/pool/shrink/{WORKER}",
    f"/api/worker/pool/autoscale/{WORKER}",
    f"/api/worker/queue/add-consumer/{WORKER}",
    f"/api/worker/queue/cancel-consumer/{WORKER}",
    "/api/task/revoke/1",
    "/api/task/abort/1",
    "/api/task/timeout/numbers.primes",
    "/api/task/rate-limit/numbers.primes",
)
TELLING = (
    "/metrics",
    f"/worker/{WORKER}",
    "/api/workers",
    "/api/tasks",
    "/api/task/types",
    "/api/task/info/1",
    "/api/task/result/1",
    "/api/queues/length",
)
SUBMITTING = ("/api/task/apply/add", "/api/task/async-apply/add", "/api/task/send-task/add")


def way(method: str, path: str, *, may_operate: bool = False, asks_workers: bool = False) -> Way:
    return way_of(method, path, asks_workers=asks_workers, may_operate=may_operate)


@pytest.mark.parametrize(
    "path", ["/", "/workers", "/tasks", "/broker", "/healthcheck", "/static/js/flower.js"]
)
@pytest.mark.parametrize("may_operate", [False, True])
def test_pages_that_name_no_task_are_for_everybody(path: str, *, may_operate: bool) -> None:
    assert way("GET", path, may_operate=may_operate) is Way.AS_IT_IS
    assert way("HEAD", path, may_operate=may_operate) is Way.AS_IT_IS


@pytest.mark.parametrize("path", CHANGING)
def test_only_operators_change_anything(path: str) -> None:
    assert way("POST", path, may_operate=True) is Way.AS_IT_IS
    for method in ("POST", "PUT", "GET"):
        with pytest.raises(FlowerRefusedError):
            way(method, path)


@pytest.mark.parametrize("path", CHANGING)
def test_nothing_is_changed_by_looking(path: str) -> None:
    assert way("GET", path, may_operate=True) is Way.NOWHERE


@pytest.mark.parametrize("path", TELLING)
def test_only_operators_see_what_tells_of_every_task(path: str) -> None:
    assert way("GET", path, may_operate=True) is Way.AS_IT_IS
    with pytest.raises(FlowerRefusedError):
        way("GET", path)


@pytest.mark.parametrize("path", SUBMITTING)
@pytest.mark.parametrize("may_operate", [False, True])
def test_nobody_submits_past_the_service(path: str, *, may_operate: bool) -> None:
    with pytest.raises(FlowerRefusedError):
        way("POST", path, may_operate=may_operate)


def test_tasks_are_shown_to_whoever_sees_them() -> None:
    assert way("GET", "/task/abc") is Way.IF_SEEN
    assert way("GET", "/task/abc", may_operate=True) is Way.AS_IT_IS
    assert way("POST", "/tasks/datatable") is Way.ONLY_SEEN
    assert way("GET", "/tasks/datatable") is Way.ONLY_SEEN
    assert way("POST", "/tasks/datatable", may_operate=True) is Way.AS_IT_IS
    assert task_of("/task/a%2Fb") == "a/b"


def test_only_operators_have_every_worker_asked() -> None:
    assert way("GET", "/workers", asks_workers=True, may_operate=True) is Way.AS_IT_IS
    with pytest.raises(FlowerRefusedError):
        way("GET", "/workers", asks_workers=True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_whoever_may_not_operate_only_looks(method: str) -> None:
    with pytest.raises(FlowerRefusedError):
        way(method, "/workers")
    assert changes(method)


@pytest.mark.parametrize(
    "path",
    [
        "/login",
        "/logout",
        "//workers",
        "/workers/",
        # As Flower would not read it, so it is not passed on.
        "/%77orkers",
        "/static/../api/workers",
        "/static/%2e%2e/x",
        "/task/a/b",
        "/api/task/apply",
        "/anything",
    ],
)
def test_what_is_not_known_goes_nowhere(path: str) -> None:
    assert way("GET", path) is Way.NOWHERE
    assert way("GET", path, may_operate=True) is Way.NOWHERE


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_methods_that_flower_has_no_use_for_go_nowhere(method: str) -> None:
    assert way(method, "/workers", may_operate=True) is Way.NOWHERE
