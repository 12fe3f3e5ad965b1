"""Failures in pytest, told as poolproof tells them: verdict, receipts, replay; with pytest-xdist, too.

They travel as a section of the test's report, which workers of pytest-xdist send as it is; so that the
process that has all reports can list them at the end. Standard library and pytest only.
"""

from collections.abc import Generator, Sequence
from typing import Any, Final

import pytest

from poolproof.simulated_tests import LoopFactory, factory_of

SECTION: Final = "poolproof"
MOST_RECEIPTS: Final = 6


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what is known of a failed promoted or simulated test."""
    report = yield
    if report.failed and call.excinfo is not None:
        lines = told(call.excinfo.value, factory_of(item) if call.when == "call" else None)
        if lines:
            report.sections.append((SECTION, "\n".join(lines)))
    return report


def told(error: BaseException, simulated: LoopFactory | None) -> list[str]:
    """Return verdict, receipts and replay, a line each; nothing of a test that is neither promoted nor simulated."""
    verdict: str | None = getattr(error, "poolproof_verdict", None)
    if verdict is not None:
        return _lines(verdict, getattr(error, "receipts", ()), str(getattr(error, "replay", "")))
    if simulated is None or simulated.loop is None:
        return []
    invariant: str | None = getattr(error, "invariant", None)
    verdict = f"invalid: {invariant}" if invariant else f"failed: {type(error).__name__}"
    return _lines(verdict, simulated.receipts(), simulated.replay())


def _lines(verdict: str, receipts: Sequence[str], replay: str) -> list[str]:
    shown = [f"receipt: {text}" for text in receipts[:MOST_RECEIPTS]] or ["receipt: none"]
    if len(receipts) > MOST_RECEIPTS:
        shown.append(f"and {len(receipts) - MOST_RECEIPTS} more receipts")
    return [f"verdict: {verdict}", *shown, f"replay: {replay}"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the verdict of each such test, and how to see it again."""
    found = [
        (report.nodeid, text)
        for outcome in ("failed", "error")
        for report in terminalreporter.stats.get(outcome, ())
        for name, text in getattr(report, "sections", ())
        if name == SECTION
    ]
    if not found:
        return
    terminalreporter.section("poolproof: verdicts and replays")
    for nodeid, text in found:
        first, *_, last = text.splitlines()
        terminalreporter.line(f"{nodeid}: {first.removeprefix('verdict: ')}")
        terminalreporter.line(f"  {last}")
