"""Failures that are the same, told once: how often each was seen, by which seeds, and what is left of its plan."""

from collections.abc import Collection, Iterable

import msgspec

from poolproof.campaign.tasks import Broken, Case, Least, Menu, fingerprint
from poolproof.chaos.confirm import NEEDED
from poolproof.checkers import Verdict, combine

MOST_SEEDS = 20
NOTHING = "none"
"""By what a pool is broken that breaks a promise unharmed, as in the reports of `check`."""


class Group(msgspec.Struct, kw_only=True):
    """One distinct failure.

    Attributes:
        fingerprint: what all its sightings have in common.
        fault: by what it was broken.
        broken: the promise, how, and the clause of the first sighting.
        hits: how many seeds showed it.
        seeds: the first of them.
        points: where workers were struck, for people.
        least: what is left of the first plan; None while it is not cut.
    """

    fingerprint: str
    fault: str
    broken: Broken
    hits: int = 0
    seeds: list[int] = msgspec.field(default_factory=list[int])
    points: list[str] = msgspec.field(default_factory=list[str])
    least: Least | None = None

    @property
    def verdict(self) -> Verdict:
        """What was seen once, and never again, is unknown."""
        again = self.least.again if self.least else 0
        return self.broken.verdict if self.hits + again >= NEEDED else "unknown"

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of fault that it takes, as far as they are known to be needed."""
        return frozenset(self.fault.split("+"))

    def explains(self, other: "Group") -> bool:
        """Tell whether the other is this one: the same promise broken in the same way, and no fault less."""
        alike = (self.broken.invariant, self.broken.effect) == (
            other.broken.invariant,
            other.broken.effect,
        )
        return alike and self.kinds <= other.kinds


class Groups:
    """All distinct failures, in the order of their first sighting."""

    def __init__(self, menu: Menu) -> None:
        self.found: dict[str, Group] = {}
        self._files = {place.path: place.file for place in menu.places}

    def unharmed(self, broken: Iterable[Broken]) -> None:
        """Take in what the survey has seen twice with nothing done to the pool."""
        for one in broken:
            name = fingerprint(one, NOTHING)
            self.found[name] = Group(fingerprint=name, fault=NOTHING, broken=one, hits=NEEDED)

    def add(self, case: Case) -> list[Group]:
        """Count a case; return the groups that are new."""
        new: list[Group] = []
        for broken in case.broken:
            group = self._of(broken, case.fault)
            if group is None:
                name = fingerprint(broken, case.fault)
                group = self.found[name] = Group(fingerprint=name, fault=case.fault, broken=broken)
                new.append(group)
            self._count(group, case)
        self._fold()
        return [group for group in new if group.fingerprint in self.found]

    def _of(self, broken: Broken, fault: str) -> Group | None:
        """Return the group that explains a failure."""
        one = Group(fingerprint="", fault=fault, broken=broken)
        return next((group for group in self.found.values() if group.explains(one)), None)

    def _fold(self) -> None:
        """Take what another group explains for more of that."""
        for group in list(self.found.values()):
            others = (one for one in self.found.values() if one is not group)
            if wider := next((one for one in others if one.explains(group)), None):
                del self.found[group.fingerprint]
                _merge(wider, group)

    def _count(self, group: Group, case: Case) -> None:
        group.hits += 1
        if len(group.seeds) < MOST_SEEDS:
            group.seeds.append(case.seed)
        path, _, line = case.point.rpartition(":")
        point = f"{self._files.get(path, path)}:{line}"
        if case.point and point not in group.points:
            group.points.append(point)

    def cut(self, least: Least, fault: str) -> None:
        """Take in what is left of a group's plan, and by what that breaks the promise; it may be one that is known."""
        if (group := self.found.get(least.fingerprint)) is not None:
            group.least, group.fault = least, fault
            self._fold()

    def verdicts(self) -> Iterable[Verdict]:
        """Return the verdict of each."""
        return [group.verdict for group in self.found.values()]


def _merge(into: Group, other: Group) -> None:
    into.hits += other.hits
    into.seeds = sorted({*into.seeds, *other.seeds})[:MOST_SEEDS]
    into.points += [point for point in other.points if point not in into.points]
    into.least = into.least or other.least


def unproven_kinds(cases: Iterable[Case]) -> tuple[str, ...]:
    """Return the kinds of fault of which no case told anything: what one could not tell, another may have told."""
    played = [(kind, case.verdict) for case in cases for kind in case.fault.split("+")]
    told = {kind for kind, verdict in played if verdict != "unknown"}
    return tuple(dict.fromkeys(kind for kind, _ in played if kind not in told))


def verdict_of(groups: Groups, cases: Collection[Case], wanted: int) -> Verdict:
    """Return the verdict of a campaign of so many seeds; nothing is valid that was not played and told."""
    verdicts: list[Verdict] = ["valid"] if cases else []
    if len(cases) < wanted or unproven_kinds(cases):
        verdicts.append("unknown")
    return combine([*verdicts, *groups.verdicts()])
