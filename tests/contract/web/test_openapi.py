"""The OpenAPI document says what the service does, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from celeriac.core.user import Role
from celeriac.web.openapi import describe
from tests.contract.web.service import PASSWORD, Service
from tests.fakes import process_type

Json = Any


@pytest.fixture
def document(stranger: httpx.Client) -> Json:
    return stranger.get("/openapi.json").json()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_is_openapi_of_today(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "Celeriac"


def test_every_reference_leads_somewhere(document: Json) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert set(references(document)) <= schemas
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])


def test_every_operation_has_a_name_of_its_own_and_a_description(document: Json) -> None:
    names = [operation["operationId"] for *_, operation in operations(document)]

    assert len(set(names)) == len(names)
    assert all(operation["description"] for *_, operation in operations(document))


def test_no_two_paths_are_the_same_but_for_a_parameters_name(document: Json) -> None:
    shapes = [re.sub(r"\{[^}]+\}", "{}", path) for path in document["paths"]]

    assert len(set(shapes)) == len(shapes)


def test_every_parameter_of_a_path_is_described(document: Json) -> None:
    for _, path, operation in operations(document):
        described = {
            each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"
        }
        assert described == set(re.findall(r"\{([^}]+)\}", path))


def test_every_refusal_is_a_problem(document: Json) -> None:
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            # A download is whatever was stored.
            media = set(response.get("content", ())) - ({"*/*"} if status < "300" else set())
            if status >= "400":
                assert media == {"application/problem+json"}
            elif media:
                is_stream = operation["operationId"].startswith("watch")
                assert media == {"text/event-stream" if is_stream else "application/json"}


def test_every_operation_that_asks_for_a_token_says_so(document: Json) -> None:
    public = {"/token", "/healthz", "/readyz", "/openapi.json"}
    for _, path, operation in operations(document):
        assert bool(operation.get("security")) is (path not in public)
        assert ("401" in operation["responses"]) is (path not in public or path == "/token")


def test_each_task_has_a_path_with_the_schema_of_its_arguments(document: Json) -> None:
    own = document["paths"]["/tasks/process"]["post"]

    schema = own["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"] == {"data": {"type": "string"}}
    assert own["summary"] == "Process some text"
    assert "/tasks/report" in document["paths"]


def test_a_tasks_own_path_may_have_nothing_for_a_caller(document: Json) -> None:
    # As for a key that has to do with other tasks.
    assert "404" in document["paths"]["/tasks/process"]["post"]["responses"]


def test_a_download_says_that_it_comes_in_parts(document: Json) -> None:
    for path in ("/tasks/{task_id}/result", "/tasks/{task_id}/files/{file_id}"):
        assert {"206", "400", "416"} <= document["paths"][path]["get"]["responses"].keys()


def test_parameters_offer_no_null(document: Json) -> None:
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert "anyOf" not in parameter["schema"]
            assert parameter["schema"].get("type") != "null"


def test_definitions_of_a_tasks_schema_are_found_again(service: Service) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "pet": {
                "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog[int]"}],
                "discriminator": {
                    "propertyName": "kind",
                    "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog[int]"},
                },
            },
            # a property of this name is no reference
            "$ref": {"type": "string"},
        },
        "$defs": {
            "Cat": {"type": "object", "properties": {"friend": {"$ref": "#/$defs/Cat"}}},
            "Dog[int]": {"type": "object"},
        },
    }

    document = describe(
        service.app,
        [process_type(name="pets é", schema=schema), process_type(name="a/b")],
    )

    own = document["paths"]["/tasks/pets%20%C3%A9"]["post"]
    body = own["requestBody"]["content"]["application/json"]["schema"]
    assert "$defs" not in body
    assert "$schema" not in body
    assert body["properties"]["$ref"] == {"type": "string"}
    schemas = document["components"]["schemas"]
    mapping = body["properties"]["pet"]["discriminator"]["mapping"]
    assert {each.rpartition("/")[2] for each in mapping.values()} <= schemas.keys()
    assert {
        each.rpartition("/")[2] for each in references(body["properties"]["pet"])
    } <= schemas.keys()
    # One step of a path cannot hold a slash.
    assert not [path for path in document["paths"] if "a/b" in path or "a%2Fb" in path]


def observe(service: Service) -> Iterator[tuple[str, str, httpx.Response]]:
    """Ask everything once, rightly and wrongly."""
    ada, vera = service.signed_in("ada"), service.signed_in("vera", Role.VIEWER)
    nobody = service.client()
    yield "POST", "/token", nobody.post("/token", data={"username": "ada", "password": PASSWORD})
    yield "POST", "/token", nobody.post("/token", data={"username": "ada", "password": "x"})
    yield "POST", "/token", nobody.post("/token", json={})
    accepted = ada.post("/tasks/process", json={"data": "x"})
    task_id = accepted.json()["task_id"]
    yield "POST", "/tasks/process", accepted
    yield "POST", "/tasks/process", ada.post("/tasks/process", json={})
    yield "POST", "/tasks/process", vera.post("/tasks/process", json={"data": "x"})
    yield "POST", "/tasks/{task_id}", ada.post("/tasks/nothing", json={})
    yield "GET", "/tasks", ada.get("/tasks")
    yield "GET", "/tasks", ada.get("/tasks?limit=0")
    yield "GET", "/tasks/{task_id}", ada.get(f"/tasks/{task_id}")
    yield "GET", "/tasks/{task_id}", ada.get("/tasks/nothing")
    yield "GET", "/tasks/{task_id}", ada.get("/tasks/process")
    yield "GET", "/tasks/{task_id}", nobody.get(f"/tasks/{task_id}")
    yield "POST", "/tasks/{task_id}/cancel", ada.post(f"/tasks/{task_id}/cancel")
    yield "POST", "/tasks/{task_id}/cancel", ada.post(f"/tasks/{task_id}/cancel")
    yield "POST", "/tasks/{task_id}/cancel", vera.post(f"/tasks/{task_id}/cancel")
    yield "GET", "/tasks/{task_id}/result", ada.get(f"/tasks/{task_id}/result")
    yield "GET", "/tasks/{task_id}/result", ada.get("/tasks/nothing/result")
    yield "GET", "/tasks/{task_id}/files/{file_id}", ada.get(f"/tasks/{task_id}/files/nothing")
    yield "GET", "/task-types", ada.get("/task-types")
    yield "GET", "/task-types/{name}", ada.get("/task-types/process")
    yield "GET", "/task-types/{name}", ada.get("/task-types/nothing")
    brief = {"Prefer": "wait=1"}
    batch = {"tasks": [{"name": "process", "arguments": {"data": "x"}}, {"name": "nothing"}]}
    yield "POST", "/tasks/process", ada.post("/tasks/process", json={"data": "x"}, headers=brief)
    yield "POST", "/tasks:batch", ada.post("/tasks:batch", json=batch)
    yield "POST", "/tasks:batch", ada.post("/tasks:batch?atomic=true", json=batch)
    yield "POST", "/tasks:batch", ada.post("/tasks:batch", content=b"{")
    yield "POST", "/tasks:batch", vera.post("/tasks:batch", json=batch)
    yield "POST", "/tasks:batch", nobody.post("/tasks:batch", json=batch)
    yield "GET", "/healthz", nobody.get("/healthz")
    yield "GET", "/readyz", nobody.get("/readyz")
    yield "GET", "/openapi.json", nobody.get("/openapi.json")


def test_every_answer_is_one_that_was_described(service: Service, document: Json) -> None:
    for method, path, response in observe(service):
        described = document["paths"][path][method.lower()]["responses"]
        status = str(response.status_code)
        assert status in described, (method, path, status)
        assert response.headers["content-type"] in described[status]["content"]
        for name, header in described[status].get("headers", {}).items():
            is_there = name in response.headers
            assert is_there or header.get("required") is False, (method, path, status, name)


def test_every_field_that_was_described_is_there(service: Service, document: Json) -> None:
    schemas = document["components"]["schemas"]
    for method, path, response in observe(service):
        described = document["paths"][path][method.lower()]["responses"][str(response.status_code)]
        schema = next(iter(described["content"].values()))["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        if name:
            body = response.json()
            assert set(schemas[name]["required"]) <= body.keys() <= set(schemas[name]["properties"])
