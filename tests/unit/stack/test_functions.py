"""Our own pool for any function: results and exceptions come back as they are."""

import asyncio
import operator
from typing import Any

import pytest

from poolproof.errors import PoolError, UsageError
from poolproof.stack import FunctionPool

pytestmark = pytest.mark.unit


class UncarriedError(Exception):
    """Cannot be made again from its pickle."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def refuse() -> None:
    raise UncarriedError(1, 2)


def called(layer: Any, function: Any, *arguments: Any) -> Any:
    async def main() -> Any:
        async with FunctionPool(layer, workers=1) as pool:
            return await pool.submit(function, *arguments)

    return asyncio.run(main())


@pytest.mark.parametrize("layer", ["mock", "bridge_mock"])
def test_a_result_comes_back(layer: str) -> None:
    assert called(layer, operator.add, 2, 3) == 5


@pytest.mark.parametrize("layer", ["mock", "bridge_mock"])
def test_an_exception_comes_back_as_itself(layer: str) -> None:
    with pytest.raises(ZeroDivisionError, match=r"^division by zero$"):
        called(layer, operator.truediv, 1, 0)


def test_an_exception_that_cannot_be_carried_is_told_as_text() -> None:
    with pytest.raises(PoolError, match="UncarriedError"):
        called("mock", refuse)


def test_a_pool_that_was_not_entered_says_so() -> None:
    with pytest.raises(
        UsageError, match=r"^expected a pool that was entered, got one that was not"
    ):
        asyncio.run(FunctionPool("mock").submit(abs, -1))
