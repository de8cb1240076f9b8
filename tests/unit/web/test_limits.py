from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from celeriac.settings import Settings
from celeriac.web.limits import Limiter, Rule, Standing, private_key
from celeriac.web.parts import Limits


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [("100/minute", 100, 60), ("1/second", 1, 1), ("5/hour", 5, 3600), ("7/day", 7, 86400)],
)
def test_a_setting_is_a_rule(text: str, count: int, seconds: int) -> None:
    rule = Rule.from_text("user", text)

    assert (rule.count, rule.period) == (count, timedelta(seconds=seconds))
    assert rule.to_policy() == f'"user";q={count};w={seconds}'


def test_what_is_left_is_said_in_whole_seconds_rounded_up() -> None:
    rule = Rule.from_text("user", "5/minute")

    standing = Standing(rule=rule, remaining=3, reset_after=timedelta(seconds=1.2))

    assert standing.to_header() == '"user";r=3;t=2'


def test_signing_in_has_rules_of_its_own() -> None:
    limits = Limits.from_settings(Settings(rate_limit="100/minute", login_limit="10/minute"))

    assert limits.user.count == limits.address.count == 100
    assert limits.sign_in.count == 10
    assert limits.sign_in_address.count == 50
    assert len({limits.user.name, limits.address.name, limits.sign_in.name}) == 3


def test_a_private_key_tells_its_parts_apart() -> None:
    assert private_key("ab", "c") != private_key("a", "bc")
    assert private_key("a", "b") == private_key("a", "b")
    assert private_key("\ud800")


class SlowLimiter(Limiter):
    """Whose broker answers a moment later, so that others ask meanwhile."""

    async def _ask(self, *asked: Any) -> Any:
        answer = await super()._ask(*asked)
        await asyncio.sleep(0)
        return answer


def test_what_several_count_at_the_same_moment_is_there_for_all_of_them() -> None:
    # given a limit so high that it is counted in chunks of ten
    limiter = SlowLimiter(lambda: "memory://")
    rule = Rule.from_text("user", "2000/minute")

    async def ask_at_once() -> int:
        # when fifty who find no chunk count one each
        await asyncio.gather(*(limiter.count(rule, "ada") for _ in range(50)))
        return (await limiter.standing(rule, "ada")).remaining

    # then no more than these are gone
    assert asyncio.run(ask_at_once()) == 1950
