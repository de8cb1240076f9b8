"""What a Celery app is told about its broker."""

from __future__ import annotations

import pytest

from celeriac.engine.broker_options import celery_options
from celeriac.errors import SettingsError


@pytest.mark.parametrize("url", ["redis://h:1/0", "amqp://u:p@h//"])
def test_a_url_that_celery_reads_as_we_do_stays(url: str) -> None:
    assert celery_options(url) == {"broker_url": url}


def test_a_broker_inside_the_process_is_asked_often() -> None:
    options = celery_options("memory://")

    assert options["broker_url"] == "memory://"
    assert options["broker_transport_options"]["polling_interval"] < 0.1


def test_an_encrypted_broker_has_to_show_who_it_is() -> None:
    options = celery_options("rediss://:secret@h:1/0")

    assert options["broker_url"] == "rediss://:secret@h:1/0"
    assert options["broker_use_ssl"] == {"ssl_cert_reqs": "required"}


def test_what_a_url_says_of_its_encryption_holds() -> None:
    url = "rediss://h/0?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem&ssl_check_hostname=false"

    options = celery_options(url)

    assert options["broker_url"] == "rediss://h/0"
    assert options["broker_use_ssl"] == {
        "ssl_cert_reqs": "none",
        "ssl_ca_certs": "/ca.pem",
        "ssl_check_hostname": False,
    }


def test_sentinels_are_named_one_by_one() -> None:
    url = "sentinel://ann:s%40cret@one:1;sentinel://two:2/7?master_name=main&sentinel_password=x"

    assert celery_options(url) == {
        "broker_url": "sentinel://ann:s%40cret@one:1/7;sentinel://two:2/7",
        "broker_transport_options": {
            "master_name": "main",
            "sentinel_kwargs": {"password": "x"},
        },
    }


def test_sentinels_without_a_name_are_refused_without_telling_the_secret() -> None:
    with pytest.raises(SettingsError, match="master_name") as refused:
        celery_options("sentinel://ann:secret@one:1")

    assert "secret" not in str(refused.value)
