"""Adds up a run: what was left by whom, and what it cost to look; the lines at the end of pytest's output."""

import time
from collections import Counter
from typing import Any, Final

import pytest

PROPERTY: Final = "poolproof_leaks"
MOST_LINES: Final = 40
_STEP_US: Final = 10
_MOST_STEPS: Final = 10_000


class Cost:
    """The processor time of the guard itself, test by test, as a histogram of bounded size."""

    def __init__(self) -> None:
        self.steps: Counter[int] = Counter()
        self._spent = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._spent += time.thread_time() - self._began

    def count(self, *, clean: bool) -> None:
        """End a test; only clean ones count, for the others are given time."""
        if clean:
            self.steps[min(int(self._spent * 1e6 / _STEP_US), _MOST_STEPS)] += 1
        self._spent = 0.0

    def add(self, steps: dict[int, int]) -> None:
        """Add what another process has counted."""
        self.steps.update(steps)

    def median_ms(self) -> float:
        """Return the median of a clean test in milliseconds, rounded up to 0.01."""
        half, seen = sum(self.steps.values()) / 2, 0
        for step in sorted(self.steps):
            seen += self.steps[step]
            if seen >= half:
                return (step + 1) * _STEP_US / 1000
        return 0.0


class Tally:
    """Collects the leaks of all reports, and shows them; where tests run in other processes too."""

    def __init__(self, mode: str, cost: Cost) -> None:
        self._mode = mode
        self._cost = cost
        self._tests = 0
        self._kept: list[dict[str, str]] = []
        self._actions: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the leaks out of a report."""
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name == PROPERTY:
                self._tests += 1
                self._take(value)

    def _take(self, leaks: Any) -> None:
        self._actions.update(leak["action"] for leak in leaks)
        self._kept.extend(leaks[: max(MOST_LINES - len(self._kept), 0)])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add the costs of a worker that ends."""
        del error
        self._cost.add(dict(getattr(node, "workeroutput", {}).get(PROPERTY, {})))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what was left, what it cost, and how to let it fail."""
        if not self._tests:
            return
        write = terminalreporter.write_line
        if self._kept:
            terminalreporter.section("poolproof: left behind", sep="-")
            for line in lines(self._kept, self._actions.total()):
                write(line)
        if self._kept or terminalreporter.verbosity >= 0:
            write(self._last_line())

    def _last_line(self) -> str:
        leaks = self._actions.total() - self._actions["pinned"]
        how = ""
        if leaks and self._mode == "report":
            how = "; --poolproof=fail, or `poolproof = fail` in the ini file, lets them fail"
        return (
            f"poolproof: {leaks} leak{'s' * (leaks != 1)} in {self._tests} tests"
            f" ({self._cost.median_ms():.2f} ms CPU a clean test){how}"
        )


def lines(leaks: list[dict[str, str]], total: int) -> list[str]:
    """Return one line for each of the first leaks, and how many more there are."""
    shown = [
        f"{leak['owner']}: {leak['resource']}: {leak['what']}"
        + (f" [{leak['where']}]" if leak["where"] else "")
        + (" (pinned)" if leak["action"] == "pinned" else "")
        for leak in leaks
    ]
    more = total - len(leaks)
    return [*shown, f"... and {more} more"] if more > 0 else shown
