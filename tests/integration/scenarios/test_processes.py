"""What is done to a child by the kernel's means: it has a receipt, which no other deed takes, and is undone."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Generator

import pytest

from poolproof.scenarios.processes import Processes
from poolproof.watch import procfs

pytestmark = pytest.mark.integration

LOOK_SECONDS = 0.005


@pytest.fixture
def child() -> Generator[procfs.Identity]:
    """A process that does nothing."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command) as process:
        try:
            who = procfs.identity(process.pid)
            assert who is not None
            yield who
        finally:
            process.kill()


@pytest.mark.parametrize(("deed", "other"), [("pause", "slow"), ("slow", "pause")])
def test_who_stands_still_is_the_receipt_of_the_one_deed_and_of_no_other(
    child: procfs.Identity, deed: str, other: str
) -> None:
    async def main() -> None:
        processes = Processes()
        processes.do(deed, [child], 2.0)  # type: ignore[arg-type]
        while processes.receipt(deed) is None:  # noqa: ASYNC110 - the kernel rings no bell
            await asyncio.sleep(LOOK_SECONDS)
        assert str(child.pid) in str(processes.receipt(deed))
        assert processes.receipt(other) is None
        assert processes.receipt("submit echo") is None
        processes.heal()
        while processes.healed() is None:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        assert procfs.state(child.pid) != "T"

    asyncio.run(main())


def test_before_it_stands_still_a_pause_has_no_receipt(child: procfs.Identity) -> None:
    async def main() -> None:
        processes = Processes()
        processes.do("pause", [child], 0.0)
        assert processes.receipt("pause") is None
        processes.heal()

    asyncio.run(main())


def test_a_limit_is_read_back_and_given_back(child: procfs.Identity) -> None:
    processes = Processes()
    before = resource.prlimit(child.pid, resource.RLIMIT_AS)
    processes.do("starve", [child], 1 << 20)

    limit, _ = resource.prlimit(child.pid, resource.RLIMIT_AS)
    assert str(limit) in str(processes.receipt("starve"))
    assert processes.healed() is None
    processes.heal()
    assert resource.prlimit(child.pid, resource.RLIMIT_AS) == before
    assert processes.healed()
