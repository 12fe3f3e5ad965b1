"""Our own stack survives a death at each line of its own code that a worker or its zygote runs, as any pool should.

Here at the lines of one module that both run; `scripts/campaign_stack.sh` takes all of them, and
every effect.
"""

from pathlib import Path

import pytest

from poolproof.chaos.result import ENDINGS
from tests.chaos.test_whole_check import checked

pytestmark = pytest.mark.chaos


@pytest.mark.timeout(300)  # of which it takes five seconds on a machine that is idle
def test_no_line_at_which_a_worker_or_its_zygote_dies_loses_a_job(tmp_path: Path) -> None:
    result, _ = checked(
        tmp_path,
        "poolproof.stack:full",
        own=("poolproof.transport.packing",),
        crash_points="kill",
        seconds=240.0,
    )
    points = result.crash_points
    ended = {ending: getattr(points, ending) for ending in ENDINGS}

    assert {point.function for point in points.points} >= {"settle", "unpacked"}
    assert ended["survived"] + ended["reported"] == points.total >= 10
    assert result.verdict == "valid"
