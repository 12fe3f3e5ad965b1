"""Every example of docs/testing.md does what the page says."""

import doctest
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.unit

PAGE: Final = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_examples_run_as_written() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)

    assert tried > 20
    assert failed == 0
