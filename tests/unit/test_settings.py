from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from celeriac.errors import SettingsError
from celeriac.settings import Settings, given, mask_url

SECRETS = {
    "CELERIAC_DATABASE_URL": "postgresql://me:canary@host/name",
    "CELERIAC_BROKER_URL": "redis://:canary@host:6379",
    "APP_SECRET_KEY": "canary" * 8,
}


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_may_stand_in_a_file(tmp_path: Path, variable: str) -> None:
    (tmp_path / "secret").write_text(SECRETS[variable] + "\n")

    by_file = Settings.from_environment({f"{variable}_FILE": str(tmp_path / "secret")})

    assert by_file == Settings.from_environment({variable: SECRETS[variable]})


def test_the_variable_itself_wins_over_its_file() -> None:
    environment = {"APP_SECRET_KEY": "k" * 32, "APP_SECRET_KEY_FILE": "/nowhere"}

    assert given("APP_SECRET_KEY", environment) == "k" * 32


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_that_is_named_and_tells_nothing_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"CELERIAC_DATABASE_URL_FILE": str(file)})

    assert caught.value.name == "CELERIAC_DATABASE_URL_FILE"


def test_what_a_file_holds_is_masked_like_the_variable(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("http://canary")

    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"CELERIAC_BROKER_URL_FILE": str(tmp_path / "secret")})

    assert "canary" not in str(caught.value)
    assert "CELERIAC_BROKER_URL" in str(caught.value)


def test_only_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("9000")

    settings = Settings.from_environment({"CELERIAC_PORT_FILE": str(tmp_path / "port")})

    assert settings.port == Settings().port


def test_a_queue_of_the_settings_is_called_as_one_of_a_submission() -> None:
    assert Settings.from_environment({"CELERIAC_QUEUES": "mail, a.b:c-1 "}).queues == (
        "mail",
        "a.b:c-1",
    )
    for names in ("mail,a b", ",", "x" * 101):
        with pytest.raises(SettingsError) as caught:
            Settings.from_environment({"CELERIAC_QUEUES": names})
        assert "1 to 100 letters" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CELERIAC_LOG_LEVEL", "loud"),
        ("CELERIAC_SAMPLES", "no"),
        ("CELERIAC_PORT", "65536"),
        ("CELERIAC_PORT", "http"),
        ("CELERIAC_LEASE_SECONDS", "0.5"),
        ("CELERIAC_SESSION_SECONDS", "nan"),
        ("CELERIAC_RATE_LIMIT", "0/minute"),
        ("CELERIAC_RATE_LIMIT", "5/fortnight"),
        ("CELERIAC_BROKER_URL", "kafka://host"),
        ("CELERIAC_BROKER_URL", "redis://host:port"),
        ("CELERIAC_FLOWER_URL", "http://host:5555/elsewhere"),
        ("APP_SECRET_KEY", "short"),
    ],
)
def test_a_value_that_is_not_allowed_is_told_with_what_is(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({variable: text})

    (allowed,) = (
        each.metadata["allowed"]
        for each in fields(Settings)
        if each.metadata["variable"] == variable
    )
    assert caught.value.name == variable
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host/1", "redis://host/1"),
        ("redis://ann:a;b@host/1", "redis://ann:***@host/1"),
        (
            "sentinel://ann:canary@one:1;sentinel://bob:canary@two/0?master_name=main",
            "sentinel://ann:***@one:1;sentinel://bob:***@two/0?master_name=main",
        ),
        (
            "sentinel://one/0?sentinel_password=canary&master_name=main",
            "sentinel://one/0?sentinel_password=***&master_name=main",
        ),
    ],
)
def test_a_url_is_shown_without_any_of_its_passwords(url: str, shown: str) -> None:
    assert mask_url(url) == shown
