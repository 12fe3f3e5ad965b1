"""Worker processes keep what every transport must keep."""

import subprocess
import sys

import pytest

from poolproof.pool.pool import Pool
from poolproof.transport import process as processes
from poolproof.transport.base import WorkerSpec
from poolproof.transport.conformance import conformance_cases, judged
from poolproof.transport.process import ProcessLink, ProcessTransport

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]


@pytest.mark.asyncio
async def test_processes_conform() -> None:
    assert await judged(ProcessTransport) == {}


@pytest.mark.asyncio
async def test_spares_conform() -> None:
    assert await judged(lambda: ProcessTransport(spares=2), conformance_cases()[::5]) == {}


class Forgetful(ProcessLink):
    """Says of a worker that died that it had begun nothing."""

    def started(self) -> int:
        """Say so."""
        return 0


@pytest.mark.asyncio
async def test_processes_that_do_not_conform_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ProcessLink", Forgetful)
    names = {"a_handler_may_end_its_worker", "a_function_is_a_worker"}
    found = await judged(
        ProcessTransport, [case for case in conformance_cases() if case.name in names]
    )

    assert [*found] == ["a_handler_may_end_its_worker"]


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
