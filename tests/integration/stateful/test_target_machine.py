"""The pool machine on a target that starts once, and not again: an error, and no finding about the pool."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from poolproof.errors import TargetError
from poolproof.stateful import pool_state_machine

pytestmark = [pytest.mark.integration, pytest.mark.hypothesis]

POOL = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

started = Path({place!r})


def make():
    if started.exists():
        raise OSError("no more licences")
    started.touch()
    return ThreadPoolExecutor(2)
"""


def test_a_pool_that_does_not_start_for_a_case_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL.format(place=str(tmp_path / "started")))
    machine = pool_state_machine(f"{tmp_path}/pool.py:make")
    try:
        with pytest.raises(TargetError, match=r"as in the reference trial, got .*no more licences"):
            run_state_machine_as_test(
                machine, settings=settings(max_examples=1, deadline=None, database=None)
            )
    finally:
        machine.release()
