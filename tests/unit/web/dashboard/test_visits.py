from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import pytest
from starlette.requests import Request

from celeriac.core.task_ids import new_task_id
from celeriac.web.dashboard.visits import Visit, came_over_tls


def request_over(scheme: str, *, proxies: int, said: str = "") -> Request:
    """Return a request to a service that trusts some proxies."""
    parts = SimpleNamespace(settings=SimpleNamespace(trusted_proxies=proxies), form_key=b"key")
    return Request(
        {
            "type": "http",
            "scheme": scheme,
            "path": "/ui",
            "query_string": b"",
            "server": ("127.0.0.1", 8000),
            "headers": [(b"x-forwarded-proto", said.encode())] if said else [],
            "app": SimpleNamespace(state=SimpleNamespace(parts=parts)),
        }
    )


@pytest.mark.parametrize(
    ("scheme", "proxies", "said", "is_encrypted"),
    [
        ("https", 0, "", True),
        ("http", 0, "", False),
        # nobody is trusted, so anybody may have said it
        ("http", 0, "https", False),
        ("http", 1, "https", True),
        ("http", 1, "http", False),
        # the nearest proxy has the last word
        ("http", 1, "https, http", False),
        ("http", 1, "", False),
    ],
)
def test_a_proxy_is_believed_about_tls_when_it_is_trusted(
    scheme: str, proxies: int, said: str, *, is_encrypted: bool
) -> None:
    assert came_over_tls(request_over(scheme, proxies=proxies, said=said)) is is_encrypted


def test_two_visitors_have_forms_of_their_own() -> None:
    one, other = (Visit.of(request_over("http", proxies=0)) for _ in range(2))

    assert one.is_token(one.form_token)
    assert not one.is_token(other.form_token)


def test_a_form_decides_its_tasks_id() -> None:
    visit = Visit.of(request_over("http", proxies=0))

    nonce, said = new_task_id(), {"a": ["1", "2"]}

    first = visit.task_id("a.b", nonce, said)

    assert first == visit.task_id("a.b", nonce, said)
    others = [
        ("a.c", nonce, said),
        ("a.b", new_task_id(), said),
        ("a.b", nonce, {"a": ["1"]}),
        ("a.b", nonce, {"b": ["1", "2"]}),
    ]
    assert first not in [visit.task_id(*other) for other in others]
    # It looks like any other, and has the time of its form.
    assert UUID(first).version == 7
    assert first[:13] == nonce[:13]


@pytest.mark.parametrize("nonce", ["", "n", "é" * 36, "01A2082A-87AC-71ae-9e3d-4f690b1fe97b"])
def test_a_form_with_any_nonce_makes_an_id_all_the_same(nonce: str) -> None:
    visit = Visit.of(request_over("http", proxies=0))

    made = visit.task_id("a.b", nonce, {})

    assert UUID(made).version == 7
    assert made == visit.task_id("a.b", nonce, {})
