"""Worker processes keep what every transport must keep."""

import sys

import pytest

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
