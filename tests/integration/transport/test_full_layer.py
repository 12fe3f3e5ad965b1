"""Worker processes keep what every transport must keep."""

import subprocess
import sys

import pytest

from poolproof.pool.pool import Pool
from poolproof.transport.base import WorkerSpec
from poolproof.transport.conformance import Case, conformance_cases
from poolproof.transport.process import ProcessTransport

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]


@pytest.mark.parametrize("case", conformance_cases(), ids=lambda case: case.name)
def test_processes_conform(case: Case) -> None:
    case.check(ProcessTransport)


@pytest.mark.parametrize("case", conformance_cases()[::5], ids=lambda case: case.name)
def test_spares_conform(case: Case) -> None:
    case.check(lambda: ProcessTransport(spares=2))


@pytest.mark.asyncio
async def test_the_end_of_a_pool_is_nothing_to_another_or_to_its_owners_other_children() -> None:
    spec = WorkerSpec(target=abs)
    with subprocess.Popen(["sleep", "600"]) as innocent:  # noqa: ASYNC220 - it returns at once
        try:
            async with Pool(spec, ProcessTransport()) as stays:
                before = [slot.link.pid for slot in stays.slots()]
                async with Pool(spec, ProcessTransport()) as goes:
                    assert await goes.submit(-1) == 1

                assert await stays.submit(-2) == 2
                assert [slot.link.pid for slot in stays.slots()] == before
                assert innocent.poll() is None
        finally:
            innocent.kill()
