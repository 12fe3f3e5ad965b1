"""What sandboxes and locks have cost, in the summary of a run."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import pytest

from poolproof.isolation.exclusion import WAITS
from poolproof.isolation.fixtures import SANDBOX

NOTICEABLE_SECONDS: Final = 0.001
SHOWN_LOCKS: Final = 10


class _Layer:
    def __init__(self) -> None:
        self.setup_ms = array("d")
        self.cleanup_ms = array("d")
        self.released = 0
        self.verified = 0


class _Lock:
    def __init__(self) -> None:
        self.tests = 0
        self.held_up = 0
        self.seconds = 0.0
        self.longest: tuple[float, str, str] = (0.0, "", "")


class CostSummary:
    """Gathers the costs from the tests' reports, of all workers, and shows them at the end."""

    def __init__(self) -> None:
        self._layers: defaultdict[str, _Layer] = defaultdict(_Layer)
        self._locks: defaultdict[str, _Lock] = defaultdict(_Lock)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test, at its end."""
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name == SANDBOX:
                self._count_sandbox(value)
            elif name == WAITS:
                self._count_waits(report.nodeid, value)

    def _count_sandbox(self, told: Any) -> None:
        layer = self._layers[told["layer"]]
        layer.setup_ms.append(told["setup_ms"])
        layer.cleanup_ms.append(told["cleanup_ms"])
        layer.released += told["released"]
        layer.verified += told["verified"]

    def _count_waits(self, test: str, waits: Any) -> None:
        for name, _mode, seconds, behind in waits:
            lock = self._locks[name]
            lock.tests += 1
            lock.seconds += seconds
            lock.held_up += seconds >= NOTICEABLE_SECONDS
            lock.longest = max(lock.longest, (seconds, test, behind))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show a line for each layer, and one for each lock."""
        lines = [*self._sandbox_lines(), *self._lock_lines()]
        if lines:
            terminalreporter.section("poolproof: sandboxes and locks", sep="-")
            for line in lines:
                terminalreporter.write_line(line)

    def _sandbox_lines(self) -> Iterator[str]:
        for name, layer in sorted(self._layers.items()):
            yield (
                f"sandbox, layer {name}: {len(layer.setup_ms)} tests; set-up {_spread(layer.setup_ms)};"
                f" clean-up {_spread(layer.cleanup_ms)};"
                f" {layer.verified} of {layer.released} clean-ups verified"
            )

    def _lock_lines(self) -> Iterator[str]:
        worst = sorted(self._locks.items(), key=lambda entry: -entry[1].seconds)
        for name, lock in worst[:SHOWN_LOCKS]:
            seconds, test, behind = lock.longest
            longest = f"; longest {seconds:.2f} s: {test} behind {behind}" if behind else ""
            yield (
                f"lock {name}: {lock.tests} tests, {lock.held_up} of them held up,"
                f" {lock.seconds:.2f} s in all{longest}"
            )
        if len(worst) > SHOWN_LOCKS:
            yield f"and {len(worst) - SHOWN_LOCKS} locks more"


def _spread(values: "array[float]") -> str:
    from poolproof.ranks import percentile  # noqa: PLC0415 - fractions, for who has sandboxes

    ordered = sorted(values)
    return f"{percentile(ordered, 50):.2f} ms p50, {percentile(ordered, 95):.2f} ms p95"
