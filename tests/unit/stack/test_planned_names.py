"""Every planned name is where docs/planned_names.md says it is."""

import importlib
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "planned_names.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("| ---", "| planned"))
]
OBJECTS = sorted({name for row in ROWS for name in re.findall(r"`(poolproof[\w.]*:\w+)`", row[1])})
FILES = sorted({name for row in ROWS for name in re.findall(r"`((?:src|tests)/[\w/.]+)`", row[1])})


@pytest.mark.parametrize("name", OBJECTS)
def test_a_planned_object_can_be_imported(name: str) -> None:
    module, _, attribute = name.partition(":")

    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", FILES)
def test_a_planned_file_exists(name: str) -> None:
    assert (ROOT / name).is_file()


def test_every_row_says_where_its_name_is_or_that_it_comes_later() -> None:
    without = [row[0] for row in ROWS if "`" not in row[1] and "later" not in " ".join(row)]

    assert without == []
    assert len(OBJECTS) > 25
    assert len(FILES) > 8
