"""What is written agrees with what is there: links, scripts, and the tree."""

import re
from pathlib import Path
from typing import Final

import pytest

import poolproof

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_script_that_is_named_exists(page: Path) -> None:
    scripts = re.findall(r"scripts/[\w-]+\.(?:sh|py)", page.read_text(encoding="utf-8"))

    assert [script for script in scripts if not (ROOT / script).exists()] == []


def test_the_readme_names_every_script_that_a_reader_may_run() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    scripts = [path.name for path in (ROOT / "scripts").glob("run_*.sh")]

    assert [script for script in scripts if f"scripts/{script}" not in readme] == []


def test_every_part_of_the_tree_is_in_the_picture_of_it() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = Path(poolproof.__file__).parent
    parts = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    parts += [path.stem for path in package.glob("*.py") if path.stem != "__init__"]

    assert [part for part in sorted(parts) if f"`{part}`" not in picture] == []
