"""A run that did not begin is refused in one line, with what pytest itself has said."""

from pathlib import Path

import pytest

from poolproof.errors import PoolproofError, TargetError, UsageError
from poolproof.isolation.runs import child

pytestmark = pytest.mark.unit

NO_FILE = """
ERROR: usage: python -m pytest [options] [file_or_dir] [file_or_dir] [...]
no tests ran in 0.00s
ERROR: file or directory not found: absent.py

"""
NO_TESTS = """
collected 1 item / 1 deselected / 0 selected
============================ 1 deselected in 0.01s =============================
"""


@pytest.mark.parametrize(
    ("code", "log", "kind", "words"),
    [
        (4, NO_FILE, UsageError, "exit code 4: ERROR: file or directory not found: absent.py$"),
        (5, NO_TESTS, UsageError, "expected tests, got pytest's exit code 5: "),
        (2, "E   ModuleNotFoundError: no m", TargetError, "collect these tests.*: E   ModuleNotF"),
        (3, "", TargetError, "expected pytest to run, got pytest's exit code 3: nothing"),
    ],
    ids=["no file", "no tests", "no import", "no end"],
)
def test_what_pytest_does_not_take_is_told_in_its_words(
    code: int, log: str, kind: type[PoolproofError], words: str, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text(log)

    with pytest.raises(kind, match=words) as caught:
        child._read(tmp_path, code, 1.0)
    assert "\n" not in str(caught.value)
