"""The lock, its copy for pip, and what the project asks for agree; nothing is fetched to see it."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parents[2]


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture
def locked() -> dict[str, set[str]]:
    """The locked packages and their versions, one or one for each Python; ourselves left out."""
    found: dict[str, set[str]] = {}
    for package in toml("uv.lock")["package"]:
        if "registry" in package["source"]:
            found.setdefault(package["name"], set()).add(package["version"])
    return found


@pytest.fixture
def requirements() -> list[str]:
    text = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line and not line.lstrip().startswith("#")]


def test_pip_installs_the_locked_versions(
    locked: dict[str, set[str]], requirements: list[str]
) -> None:
    pairs = [re.match(r"([\w.-]+)==([\w.]+)", line) for line in requirements]

    assert len(pairs) > 20
    assert all(pair and pair[2] in locked[pair[1]] for pair in pairs)


def test_pip_sees_a_hash_of_everything(requirements: list[str]) -> None:
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def test_everything_that_the_project_asks_for_is_locked(locked: dict[str, set[str]]) -> None:
    project = toml("pyproject.toml")
    groups = project["dependency-groups"].values()
    asked = [
        *project["project"]["dependencies"],
        *(name for extra in project["project"]["optional-dependencies"].values() for name in extra),
        *(name for group in groups for name in group if isinstance(name, str)),
    ]
    names = {re.split(r"[\[<>=~!; ]", requirement)[0] for requirement in asked}

    assert names - set(locked) == set()


def test_the_lock_names_no_private_index() -> None:
    registries = {p["source"].get("registry") for p in toml("uv.lock")["package"]}

    assert registries <= {"https://pypi.org/simple", None}
