"""The page about `--json` names every field that there is."""

from pathlib import Path

import msgspec
import pytest

from poolproof.chaos.result import CrashPoints, Entry, FaultRow, PointEntry, Result

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [Result, Entry, CrashPoints, PointEntry, FaultRow])
def test_every_field_is_named_on_the_page(kind: type[msgspec.Struct]) -> None:
    assert [name for name in kind.__struct_fields__ if f"`{name}`" not in PAGE] == []
