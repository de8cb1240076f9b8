from __future__ import annotations

from types import SimpleNamespace

import pytest
from starlette.requests import Request

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

    first = visit.task_id("nonce", {"a": ["1", "2"]})

    assert first == visit.task_id("nonce", {"a": ["1", "2"]})
    assert len(first) == 36
    others = [("other", {"a": ["1", "2"]}), ("nonce", {"a": ["1"]}), ("nonce", {"b": ["1", "2"]})]
    assert first not in [visit.task_id(nonce, said) for nonce, said in others]
