"""The patterns of the migration page are true: what is before is caught, what is after passes with every leak fatal."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from poolproof.isolation.runs import records
from poolproof.isolation.runs.records import Record

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PAGE: Final = Path(__file__).parents[3] / "docs" / "migration.md"
BLOCK: Final = re.compile(r"^```python (.+?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
INI: Final = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
poolproof = fail
"""


def blocks(words: str) -> dict[str, str]:
    """Return the blocks of these words, by the heading that each stands under."""
    page = PAGE.read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for match in BLOCK.finditer(page):
        if match.group(1) == words:
            heading = [h.group(1) for h in HEADING.finditer(page, 0, match.start())][-1:] or ["app"]
            found[re.sub(r"\W+", "_", heading[0]).lower()] = match.group(2)
    return found


def suite(folder: Path, *kinds: str) -> Path:
    """Write the blocks of these kinds, each a module."""
    (folder / "pytest.ini").write_text(INI, encoding="utf-8")
    (folder / "app.py").write_text(blocks("app")["app"], encoding="utf-8")
    for kind in kinds:
        for name, source in blocks(kind).items():
            (folder / f"test_{name}.py").write_text(source, encoding="utf-8")
    return folder


def run(folder: Path, *options: str) -> Record:
    command = [sys.executable, "-m", "pytest", "--poolproof-record=run.jsonl", *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stdout
    return records.read(folder / "run.jsonl")


@pytest.mark.slow
def test_what_is_after_passes_with_every_leak_fatal_in_parallel(tmp_path: Path) -> None:
    record = run(suite(tmp_path, "after", "after async"), "-n", "2")

    assert {name: test.message for name, test in record.tests.items() if test.bad} == {}
    assert all(test.leaks == () for test in record.tests.values())
    assert len({name.partition("::")[0] for name in record.tests}) >= 12


def test_what_is_before_is_caught_at_its_test(tmp_path: Path) -> None:
    record = run(suite(tmp_path, "before", "before async"))

    assert len(record.tests) >= 7
    assert {name for name, test in record.tests.items() if not test.bad} == set()
    assert {name for name, test in record.tests.items() if not test.leaks} == set()


def test_what_only_collides_has_a_pattern_to_replace_it() -> None:
    before = {**blocks("before"), **blocks("before async"), **blocks("before collides")}
    before |= blocks("before collides async")

    assert set(before) == {*blocks("after"), *blocks("after async")}
