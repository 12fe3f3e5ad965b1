"""The examples of the simulation's page and of its docstrings do what they say."""

import doctest
import importlib
import pkgutil
from pathlib import Path
from typing import Final

import pytest

from poolproof import simulation

pytestmark = pytest.mark.unit

PAGE: Final = Path(__file__).parents[3] / "docs" / "simulation.md"
MODULES: Final = [
    f"{simulation.__name__}.{module.name}" for module in pkgutil.iter_modules(simulation.__path__)
]


def test_the_examples_of_the_page_are_true() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)

    assert found.attempted > 20
    assert found.failed == 0


@pytest.mark.parametrize("name", [simulation.__name__, *MODULES])
def test_the_examples_of_a_module_are_true(name: str) -> None:
    module = importlib.import_module(name)

    assert (
        doctest.testmod(module, extraglobs={"asyncio": importlib.import_module("asyncio")}).failed
        == 0
    )
