"""Failures that are the same, told once: how often each was seen, by which seeds, and what is left of its plan."""

from collections.abc import Iterable

import msgspec

from poolproof.campaign.tasks import Broken, Case, Least, Menu, fingerprint
from poolproof.chaos.confirm import NEEDED
from poolproof.checkers import Verdict, combine

MOST_SEEDS = 20


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


def verdict_of(groups: Groups, cases: Iterable[Case]) -> Verdict:
    """Return the verdict of a campaign: what one case could not tell, others of its kind may have told."""
    proven = any(case.verdict in ("valid", "by contract") for case in cases)
    verdicts: list[Verdict] = ["valid"] if proven else []
    return combine([*verdicts, *groups.verdicts()])
