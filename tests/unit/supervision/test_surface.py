"""The public names of the package, and the page that explains them."""

import re
import runpy
from pathlib import Path

import pytest

import poolproof.supervision

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "supervision.md").read_text()


def test_every_public_name_exists_and_has_a_docstring() -> None:
    names = poolproof.supervision.__all__

    assert sorted(names) == sorted(set(names))
    for name in names:
        value = getattr(poolproof.supervision, name)
        assert name in {"KILL", "KILLED", "NOPROC", "NORMAL", "SHUTDOWN", "Sink"} or value.__doc__


def test_example_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "docs" / "examples" / "supervision_tree.py"), run_name="__main__")
    printed = capsys.readouterr().out

    (shown,) = re.findall(r"\$ python docs/examples/supervision_tree.py\n(.*?)```", PAGE, re.DOTALL)
    first, last = shown.split("...\n")
    assert printed.startswith(first)
    assert printed.endswith(last)


def test_page_counts_what_there_is() -> None:
    recordings = (Path(__file__).parent / "recordings" / "otp.json").read_text().count('"name"')
    zoo = (ROOT / "tests" / "chaos" / "supervision" / "zoo.py").read_text()
    ablated = len(re.findall(r"^    \w+,$", zoo[zoo.index("ZOO: ") :], re.MULTILINE))

    assert f"{recordings} scenarios recorded" in PAGE
    assert f"{ablated} ablated supervisors" in PAGE
