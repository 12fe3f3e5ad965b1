"""What the tests of the tree share: virtual time, and a record of its events."""

import importlib.util
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from poolproof import simulation
from poolproof.supervision import TreeEvent

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def simulated() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end in virtual time."""
    return simulation.run


class Record(list[TreeEvent]):
    """A sink that keeps what it is told."""

    def __call__(self, event: TreeEvent) -> None:
        self.append(event)

    def names(self, child: str | None = None) -> list[str]:
        """Return the names of the events, of all or of one child."""
        return [
            one.name for one in self if child is None or (one.offender and one.offender.id == child)
        ]


@pytest.fixture
def record() -> Record:
    """A sink that keeps what it is told."""
    return Record()


@pytest.fixture(scope="session")
def recorder() -> ModuleType:
    """The recorder of OTP, from the scripts of the repository."""
    spec = importlib.util.spec_from_file_location("record_otp", SCRIPTS / "record_otp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
