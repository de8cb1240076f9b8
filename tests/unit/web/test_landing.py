from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from celeriac.web.landing import Landing


def test_each_who_waits_gets_an_own_answer_from_another_thread() -> None:
    landing = Landing()
    answers: list[Future[int]] = [Future() for _ in range(200)]

    def work() -> None:
        for number, answer in enumerate(answers):
            if number % 7:
                answer.set_result(number)
            else:
                answer.set_exception(ValueError(str(number)))

    async def wait() -> list[int | BaseException]:
        waiting = asyncio.gather(*map(landing.wait_for, answers), return_exceptions=True)
        threading.Thread(target=work).start()
        return await asyncio.wait_for(waiting, 20)

    assert [str(each) for each in asyncio.run(wait())] == [str(number) for number in range(200)]


def test_an_answer_that_was_there_before_is_given_too() -> None:
    answer: Future[str] = Future()
    answer.set_result("done")

    assert asyncio.run(Landing().wait_for(answer)) == "done"


def test_whoever_gives_up_waiting_is_in_nobodys_way() -> None:
    landing = Landing()
    given_up: Future[str] = Future()
    other: Future[str] = Future()

    async def wait() -> str:
        first = asyncio.create_task(landing.wait_for(given_up))
        second = asyncio.create_task(landing.wait_for(other))
        await asyncio.sleep(0)
        first.cancel()
        given_up.set_result("too late")
        other.set_result("in time")
        return await asyncio.wait_for(second, 20)

    assert asyncio.run(wait()) == "in time"


def test_an_answer_that_comes_when_the_loop_has_ended_is_dropped() -> None:
    answer: Future[str] = Future()

    async def give_up() -> None:
        waiting = asyncio.create_task(Landing().wait_for(answer))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(give_up())
    answer.set_result("nobody is there")
