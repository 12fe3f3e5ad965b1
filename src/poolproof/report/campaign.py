"""A campaign on a terminal: how far it is and what it has found while it runs, and all of it in the end.

Without a terminal, a line now and then; with one, a view that grows.
"""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from poolproof.campaign.coverage import Covered
from poolproof.campaign.grouping import NOTHING, Groups
from poolproof.campaign.grouping import Group as FailureGroup
from poolproof.campaign.result import CampaignResult, Failure
from poolproof.campaign.running import Watcher
from poolproof.campaign.states import STATES
from poolproof.campaign.tasks import Case, Menu
from poolproof.report.terminal import STYLES, plain_console

LINE_SECONDS: Final = 10.0
REFRESH_A_SECOND: Final = 4
MOST_SHOWN: Final = 12
MOST_STORIES: Final = 6
MOST_NAMES: Final = 6
SEVERAL: Final = "several at once"


class Count:
    """What both views need: how many are wanted, since when, and what is known."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seeds = self.before = self.played = 0
        self.menu: Menu | None = None
        self.cases: dict[int, Case] = {}
        self.covered = Covered()
        self.groups: Sequence[FailureGroup] = ()

    def begun(self, menu: Menu, seeds: int) -> None:
        """Learn what can be done, and how many seeds are wanted."""
        self.menu, self.seeds = menu, seeds

    def came(self, cases: dict[int, Case], covered: Covered, groups: Groups) -> None:
        """Learn of one more case."""
        if not self.played:
            self.before = len(cases) - 1
        self.cases, self.covered = cases, covered
        self.played = len(cases)
        self.groups = sorted(groups.found.values(), key=lambda group: -group.hits)

    def progress(self) -> str:
        """Return how far it is, in words, with an estimate of what is left."""
        passed = time.monotonic() - self.began
        text = f"{self.played} of {self.seeds} seeds, {passed:.0f} s"
        new = self.played - self.before
        if new > 0 and self.played < self.seeds:
            text += f", about {passed / new * (self.seeds - self.played):.0f} s left"
        return text

    def coverage(self) -> str:
        """Return what has been covered, in words."""
        assert self.menu is not None
        points = len(self.menu.places) * len(self.menu.effects)
        struck = points - len(self.covered.missed(self.menu))
        kinds = len({spec.kind for spec in self.menu.specs})
        text = (
            f"{len(self.covered.pairs)} pairs of fault and state,"
            f" {kinds - len(self.covered.untried(self.menu))} of {kinds} faults"
        )
        return f"{text}, {struck} of {points} crash points" if points else text


class Lines(Count):
    """For what is no terminal: a line for each new failure, and one every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._said = time.monotonic()

    def came(self, cases: dict[int, Case], covered: Covered, groups: Groups) -> None:
        """Say how far it is, now and then."""
        super().came(cases, covered, groups)
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            self._say(f"{self.progress()}: {self.coverage()}, {_distinct(len(self.groups))}")

    def new(self, group: FailureGroup, case: Case) -> None:
        """Say what has been found."""
        self._say(
            f"new, by seed {case.seed}: {group.broken.invariant} under {group.fault}: {group.broken.reason}"
        )

    def cut(self, group: FailureGroup) -> None:
        """Say what is left of it."""
        if group.least is not None:
            self._say(f"cut: {group.broken.invariant} under {group.fault}: {_left(group)}")

    def close(self) -> None:
        """Nothing to close."""

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(f"  {text}\n")
        sys.stderr.flush()


class View(Count):
    """For a terminal: a bar, the coverage as a table of faults and states, and the failures so far."""

    def __init__(self) -> None:
        super().__init__()
        self._live = Live(
            get_renderable=self.rendered,
            console=Console(stderr=True),
            refresh_per_second=REFRESH_A_SECOND,
            transient=True,
            vertical_overflow="crop",
        )
        self._live.start()

    def rendered(self) -> RenderableType:
        """Return the view as it is now."""
        if self.menu is None:
            return Text(f"looking at the target, {time.monotonic() - self.began:.0f} s")
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(1, self.seeds), completed=self.played, width=40)
        head.add_row(bar, Text(self.progress()))
        # What does not fit is cut off below.
        parts = (head, Text(self.coverage()), _failures(self.groups[:MOST_SHOWN]))
        return Group(*parts, grid(self.covered.pairs))

    def new(self, group: FailureGroup, case: Case) -> None:
        """Nothing: the view shows it."""

    def cut(self, group: FailureGroup) -> None:
        """Nothing: the view shows it."""

    def close(self) -> None:
        """Remove the view."""
        self._live.stop()


@contextlib.contextmanager
def watching() -> Generator[Watcher]:
    """Yield the view that suits standard error."""
    shown = View() if sys.stderr.isatty() else Lines()
    try:
        yield shown
    finally:
        shown.close()


def grid(pairs: Mapping[str, int]) -> Table:
    """Return how often each fault met each state, a row for each fault, and one for several at once."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    counts: Counter[tuple[str, str]] = Counter()
    for pair, times in pairs.items():
        fault, _, state = pair.partition(" x ")
        counts[SEVERAL if "+" in fault else fault, state] += times
    states = [state for state in STATES if any(seen == state for _, seen in counts)]
    table.add_column("fault")
    for state in states:
        table.add_column(state, justify="right")
    for fault in sorted(
        {fault for fault, _ in counts}, key=lambda fault: (fault == SEVERAL, fault)
    ):
        table.add_row(fault, *(str(counts[fault, state] or ".") for state in states))
    return table


def _failures(groups: Sequence[FailureGroup]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("seeds", "failure", "under", "left of it"):
        table.add_column(column, justify="right" if column == "seeds" else "left", overflow="fold")
    for group in groups:
        name = Text(group.broken.invariant, style=STYLES[group.verdict])
        table.add_row(str(group.hits), name, group.fault, _left(group))
    return table


def _left(group: FailureGroup) -> str:
    if (least := group.least) is None:
        return "not cut yet"
    return f"{_many(least.plan.jobs, 'job')}, {least.plan.bystanders} beside; again {least.again} of {least.times}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _distinct(count: int) -> str:
    return _many(count, "distinct failure")


def show(result: CampaignResult, console: Console | None = None) -> None:
    """Print what a campaign came to."""
    console = console or plain_console()
    for failure in result.failures[:MOST_STORIES]:
        _show_failure(console, failure)
    for failure in result.failures[MOST_STORIES:]:
        what = f"{failure.verdict}  {failure.invariant} under {failure.fault}"
        console.print(Text(f"{what}, {_many(failure.hits, 'seed')}; replay: {failure.replay}"))
    console.print()
    if result.pairs:
        console.print(grid(result.pairs))
    _show_gaps(console, result)
    _show_verdict(console, result)


def _show_failure(console: Console, failure: Failure) -> None:
    word = "BROKEN" if failure.verdict == "invalid" else failure.verdict
    title = Text(f"\n{word}  ", style=STYLES[failure.verdict])
    title.append(failure.invariant, style="bold")
    title.append(f"  under {failure.fault}: {failure.reason}")
    console.print(title)
    some = ", ".join(map(str, failure.seeds[:MOST_NAMES]))
    more = ", ..." if failure.hits > MOST_NAMES else ""
    lines = [f"seen by {_many(failure.hits, 'seed')}: {some}{more}"]
    if failure.fault == NOTHING:
        lines = ["seen twice, with nothing broken: mend that first"]
    if failure.points:
        lines.append(f"at {_some(failure.points)}")
    if failure.plan:
        minimal = "no part can go" if failure.one_minimal else "not proven minimal: a bound was hit"
        lines.append(
            f"cut in {_many(failure.runs, 'play')} to {_many(failure.jobs or 0, 'job')}, {failure.bystanders} beside,"
            f" {failure.fresh} after the heal ({minimal}); seen again in {failure.again} of {failure.times}"
        )
    lines += [f"    {line}" for line in failure.story]
    lines += [f"replay: {failure.replay}"] if failure.replay else []
    for line in lines:
        console.print(Text(f"  {line}"))


def _show_gaps(console: Console, result: CampaignResult) -> None:
    if result.points:
        console.print(Text(f"\ncrash points: {result.points_struck} of {result.points} struck"))
    if result.missed_points:
        console.print(Text(f"  not struck: {_some(result.missed_points)}"))
    if result.untried:
        console.print(Text(f"not tried, or without a receipt: {_some(result.untried)}"))
    if result.unproven:
        console.print(Text(f"nothing is known of: {_some(result.unproven)}"))
    if result.played < result.seeds:
        left = _many(result.seeds - result.played, "seed")
        why = result.stopped or "the same command plays them, where time was over"
        console.print(Text(f"not played: {left}; {why}"))
    for reason, times in list(result.unknown.items())[:MOST_NAMES]:
        console.print(Text(f"unknown, {times} times: {reason}"))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def _show_verdict(console: Console, result: CampaignResult) -> None:
    counts = ", ".join(f"{times} {verdict}" for verdict, times in sorted(result.verdicts.items()))
    text = Text("\n")
    text.append(result.verdict.upper(), style=STYLES[result.verdict])
    text.append(
        f"  {result.target}: {_distinct(len(result.failures))} in {result.played} of {result.seeds} seeds"
        f" ({counts}); {result.seconds:.0f} s; everything in {result.directory}"
    )
    console.print(text)
