"""The guard in pytest: looks before and after each test, and says what the test has left.

A leak is an outcome of its own: a section and a failure of the test's end, never of the test itself. Nothing waits
while nothing is suspect; what may yet end by itself is given a moment before anybody is accused.
"""

import datetime as dt
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest

from poolproof.isolation import unraisable
from poolproof.isolation.attribution import Charge, Ledger, Turn
from poolproof.isolation.policy import Action, Pin, Policy
from poolproof.isolation.resources.asynchronous import raised
from poolproof.isolation.resources.base import Finding, Resource, shown
from poolproof.isolation.tally import PROPERTY, Cost

PATIENCE_SECONDS: Final = 0.5
PATIENCE_PER_RUN_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.001
MOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A finding, the test or fixture that it is charged to, and what was done about it."""

    finding: Finding
    owner: str
    action: Action
    pin: str = ""

    @property
    def fails(self) -> bool:
        """Whether the test's end fails for it."""
        return self.action == "fail" and not self.pin

    def record(self) -> dict[str, str]:
        """Return it as plain text, for reports that cross processes."""
        return {
            "resource": self.finding.resource,
            "what": self.finding.what,
            "where": self.finding.where,
            "owner": self.owner,
            "action": "pinned" if self.pin else self.action,
        }

    def __str__(self) -> str:
        lines = [f"  {self.finding.resource}: {self.finding.what}"]
        lines += [f"      {text}" for text in (self.finding.where, self.pin) if text]
        return "\n".join(lines)


class Guard:
    """The hooks: a turn of the ledger for each test and each fixture of a wider scope."""

    def __init__(self, ledger: Ledger, policy: Policy, cost: Cost) -> None:
        self.ledger = ledger
        self.policy = policy
        self._cost = cost
        self._patience = PATIENCE_PER_RUN_SECONDS
        self.owner = ""
        self._passed = False
        self._failed = False
        self._leaks: list[Leak] = []
        self.nudges: list[Callable[[], None]] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Look before anything of the test has run."""
        self.owner, self._passed, self._failed = item.nodeid, False, False
        self._leaks.clear()
        with self.looking():
            self.ledger.begin(item.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Charge to a fixture of a wider scope what its set-up makes."""
        if fixturedef.scope == "function" or not self.ledger.running:
            return (yield)
        owner = _name(fixturedef, request.config)
        begun = self._set_up(owner)
        try:
            return (yield)
        finally:
            for turn in begun:
                with self.looking():
                    self.ledger.was_set_up(fixturedef, turn)
                    fixturedef.addfinalizer(partial(self._ending, fixturedef, owner))

    def _set_up(self, owner: str) -> list[Turn]:
        """Begin the turn of a fixture; return it, or nothing if the guard cannot look."""
        begun: list[Turn] = []
        with self.looking():
            begun.append(self.ledger.set_up(owner))
        return begun

    def _ending(self, fixturedef: pytest.FixtureDef[Any], owner: str) -> None:
        with self.looking():
            self.ledger.ending(fixturedef, owner)

    def pytest_fixture_post_finalizer(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """Ask a fixture of a wider scope for what it has made."""
        if fixturedef.scope == "function":
            return
        with self.looking():
            if charges := self.ledger.ended(fixturedef):
                owner = _name(fixturedef, request.config)
                self.convict(owner, charges)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Look after everything of the test has ended, and put what is left into its last report."""
        report = yield
        if call.when == "call":
            self._passed = report.passed
        self._failed = self._failed or report.failed
        if call.when == "teardown" and self.owner == item.nodeid:
            with self.looking():
                self._end(item)
            self.ledger.end()
            self._cost.count(clean=not self._leaks)
            enter(report, self._leaks)
        return report

    def _end(self, item: pytest.Item) -> None:
        charges = self.suspects() if self.ledger.running else []
        if charges:
            charges = self.ledger.hand_over(self._patiently(item, charges))
        self.convict(item.nodeid, charges)
        self._leaks.extend(self._stale(item.nodeid))

    @contextmanager
    def looking(self) -> Generator[None]:
        """Measure what it costs to look; what breaks in it is a finding, and breaks no test of anybody."""
        with self._cost:
            try:
                yield
            except Exception as error:  # noqa: BLE001 (whatever it was, the suite must go on)
                what = f"could not look: {shown(error)}; please report it"
                self.accuse(Finding(resource="guard", what=what, where=raised(error.__traceback__)))

    def accuse(self, finding: Finding) -> None:
        """Charge something to the test that runs, once."""
        self._add(self._leak(finding, self.owner))

    def _add(self, leak: Leak) -> None:
        if leak.action != "ignore" and leak not in self._leaks:
            self._leaks.append(leak)

    def suspects(self, resource: Resource | None = None) -> list[Charge]:
        """Return what the running test would leave if it ended now, of one resource or of all."""
        found = self.ledger.suspects_of(resource) if resource else self.ledger.suspects()
        return [c for c in found if self.policy.action(c.finding.resource) != "ignore"]

    def undoes(self, finding: Finding) -> bool:
        """Tell whether the policy is to undo such a thing."""
        return self.policy.action(finding.resource) in ("fail", "restore")

    def _patiently(self, item: pytest.Item, charges: list[Charge]) -> list[Charge]:
        """Return what is left when rubbish is collected and what ends by itself has had a moment."""
        _let_go(item, failed=self._failed)
        for nudge in self.nudges:
            nudge()
        for finding in unraisable.collect():
            self._add(Leak(finding=finding, owner=item.nodeid, action="fail"))
        charges = self.suspects()
        began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        deadline = began + min(PATIENCE_SECONDS, max(self._patience, pause))
        while any(map(self.ledger.fades, charges)) and time.monotonic() < deadline:
            time.sleep(pause)
            pause *= 2
            charges = self.suspects()
        self._patience -= time.monotonic() - began
        return charges

    def convict(self, owner: str, charges: Iterable[Charge]) -> None:
        """Report charges as somebody's, and undo what the policy says."""
        for charge in charges:
            if self.undoes(charge.finding):
                with suppress(Exception):  # what a stranger's object does when it is closed
                    self.ledger.undo(charge)
            self._add(self._leak(charge.finding, owner))

    def _leak(self, finding: Finding, owner: str) -> Leak:
        pins = [p for p in self.policy.pins_of(owner) if p.resource == finding.resource]
        valid = [pin for pin in pins if pin.expires >= dt.date.today()]  # noqa: DTZ011 (a day here)
        if pins and not valid:
            expired = f"{finding.what} (its pin expired on {pins[0].expires})"
            finding = Finding(resource=finding.resource, what=expired, where=finding.where)
        action = self.policy.action(finding.resource)
        return Leak(finding=finding, owner=owner, action=action, pin=str(valid[0]) if valid else "")

    def _stale(self, test: str) -> list[Leak]:
        """Accuse the pins of a test that has passed without the leak."""
        seen = {leak.finding.resource for leak in self._leaks if leak.owner == test}
        stale = [p for p in self.policy.pins_of(test) if p.resource not in seen and self._passed]
        return [self._leak(_unneeded(pin), test) for pin in stale]


def _unneeded(pin: Pin) -> Finding:
    return Finding(
        resource="pin",
        what=f"expected a leak of {pin.resource}, got none: remove the pin of {pin.owner}",
    )


# One for all: pytest keeps every report until the end of the run.
_CLEAN: Final[tuple[str, list[dict[str, str]]]] = (PROPERTY, [])


def enter(report: pytest.TestReport, leaks: list[Leak]) -> None:
    """Put leaks into the last report of a test; an empty list says that it was looked at."""
    if not leaks:
        report.user_properties.append(_CLEAN)
        return
    report.user_properties.append((PROPERTY, [leak.record() for leak in leaks]))
    text = "\n".join(_paragraphs(leaks))
    if any(leak.fails for leak in leaks) and not report.failed:
        report.outcome = "failed"
        report.longrepr = text
    else:
        report.sections.append(("poolproof: left behind", text))


def _paragraphs(leaks: list[Leak]) -> Iterable[str]:
    for owner in dict.fromkeys(leak.owner for leak in leaks):
        mine = [leak for leak in leaks if leak.owner == owner]
        yield f"left behind by {owner}:"
        yield from map(str, mine[:MOST_SHOWN])
        if len(mine) > MOST_SHOWN:
            yield f"  ... and {len(mine) - MOST_SHOWN} more"


def _let_go(item: pytest.Item, *, failed: bool) -> None:
    """Drop what only pytest still holds: the fixtures' values, and the frames of a failure."""
    funcargs = getattr(item, "funcargs", None)
    if isinstance(funcargs, dict):
        funcargs.clear()
    if failed:
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)


def value_of(fixturedef: Any) -> object:
    """Return what a fixture that is set up has returned or yielded."""
    result = fixturedef.cached_result
    return None if result is None else result[0]


def _name(fixturedef: pytest.FixtureDef[Any], config: pytest.Config) -> str:
    """Return a fixture as `path::name`, with the path of the file that defines it."""
    code = getattr(fixturedef.func, "__code__", None)
    file = code.co_filename if code else fixturedef.baseid
    return f"{file.removeprefix(f'{config.rootpath}/')}::{fixturedef.argname}"
