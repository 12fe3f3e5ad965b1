"""The worker of a scenario does what it is told rightly, and refuses what was corrupted on its way to it."""

import asyncio
from typing import Any

import pytest

from poolproof.scenarios import actor

pytestmark = pytest.mark.unit

REQUEST: list[Any] = [7, "echo", 0.0, 0]


def asked(content: list[Any], checksum: int) -> Any:
    async def main() -> Any:
        one = actor.Actor("here", actor.checksum_of("here"))
        await one.init()
        return await one.handle([*content, checksum])

    try:
        return asyncio.run(main())
    finally:
        actor.forget("here")


def test_an_answer_has_its_own_checksum() -> None:
    answer, checksum = asked(REQUEST, actor.checksum_of(REQUEST))

    assert answer == actor.answer(7)
    assert checksum == actor.checksum_of(answer)


def test_a_request_that_was_corrupted_is_refused_and_not_begun() -> None:
    with pytest.raises(ValueError, match="the request was corrupted"):
        asked([8, *REQUEST[1:]], actor.checksum_of(REQUEST))
    assert actor.starts("here") == {}


def test_an_actor_whose_own_arguments_were_corrupted_does_not_start() -> None:
    with pytest.raises(ValueError, match="its own arguments were corrupted"):
        actor.Actor("hers", actor.checksum_of("here"))
