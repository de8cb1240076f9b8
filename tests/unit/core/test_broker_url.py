"""Reading the URL of a Redis that sentinels look after."""

from __future__ import annotations

import pytest

from celeriac.core.broker_url import read_sentinel_url


def test_everything_a_url_may_say() -> None:
    url = (
        "sentinel://ann:s%40cret@one:1;sentinel://two;sentinel://three:3/7"
        "?master_name=main&sentinel_password=other"
    )

    address = read_sentinel_url(url)

    assert address.sentinels == (("one", 1), ("two", 26379), ("three", 3))
    assert (address.master_name, address.database) == ("main", 7)
    assert (address.username, address.password) == ("ann", "s@cret")
    assert address.sentinel_password == "other"


def test_what_is_left_out_has_a_default() -> None:
    address = read_sentinel_url("sentinel://one?master_name=main")

    assert address.sentinels == (("one", 26379),)
    assert (address.database, address.username, address.password) == (0, "", "")
    assert address.sentinel_password == ""


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://one",
        "sentinel://one?master_name=",
        "sentinel://?master_name=main",
        "sentinel://one:port?master_name=main",
        "sentinel://one/database?master_name=main",
        "sentinel://one?master_name=main;redis://two",
    ],
)
def test_a_url_that_says_too_little_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_sentinel_url(url)
