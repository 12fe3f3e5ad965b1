"""What all tests share: how hard Hypothesis tries, whose SIGTERM is, and whose processes are measured."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from poolproof.agent import coverage_lock

coverage_lock.free_in_children()  # many a test forks, with threads beside it

# The same examples in every run: a change is judged by what it changes. scripts/run_campaign.sh examples looks further.
settings.register_profile(
    "ci", max_examples=40, derandomize=True, database=None, deadline=None, print_blob=True
)
# Chosen by --hypothesis-profile; scripts/run_campaign.sh examples takes the campaign's.
settings.register_profile("campaign", max_examples=1000, deadline=None, derandomize=False)
settings.load_profile("ci")


@pytest.fixture
def sigterm_kept() -> Iterator[None]:
    """Give SIGTERM back to the test run: a command that is run within it takes the signal for its own process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """Start the processes of this module's tests without coverage.

    For those that judge how processes end, which its handler of SIGTERM is no part of; and for those of many short
    commands, each of which would take 0.4 s more (0.5 s without), to measure lines that others measure too.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]:
            patch.delenv(name)
        yield
