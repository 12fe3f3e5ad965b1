"""What has been tried so far, as pairs of fault and state and as crash points; and which plan would add the most."""

from collections import Counter
from collections.abc import Iterable

from poolproof.campaign.tasks import Case, Coverage, Menu, fault_of
from poolproof.plan import Plan


class Covered:
    """Counts cases as they come in.

    Only what has a receipt counts: what nobody but its injector saw has not been tried.
    """

    def __init__(self, before: Coverage | None = None) -> None:
        known = before or Coverage()
        self.pairs = Counter(known.pairs)
        self.points = Counter(known.points)
        self.states = dict(known.states)

    def add(self, case: Case) -> None:
        """Count one case."""
        if not case.state:
            return
        self.states[f"{case.fault} x {case.size}"] = case.state
        self.pairs[f"{case.fault} x {case.state}"] += 1
        if case.point:
            self.points[f"{case.point} {case.fault.partition(':')[2]}"] += 1

    def times(self, plan: Plan) -> int:
        """Return how often what this plan would try has been tried; 0 where nobody knows yet what it would."""
        if plan.point is not None:
            return self.points[point_of(plan)]
        fault = fault_of(plan)
        state = self.states.get(f"{fault} x {size_of(plan)}")
        return self.pairs[f"{fault} x {state}"] if state else 0

    def freeze(self) -> Coverage:
        """Return it as data."""
        return Coverage(pairs=dict(self.pairs), points=dict(self.points), states=dict(self.states))

    def missed(self, menu: Menu) -> list[str]:
        """Return the crash points of the menu at which no worker has been struck, as people call them."""
        every = [(place, how) for how in menu.effects for place in menu.places]
        return [
            f"{place.file}:{place.line} {how}"
            for place, how in every
            if not self.points[f"{place.path}:{place.line} {how}"]
        ]

    def untried(self, menu: Menu) -> list[str]:
        """Return the kinds of fault of the menu that have not been tried, alone or beside others."""
        tried = {kind for pair in self.pairs for kind in pair.partition(" x ")[0].split("+")}
        return [
            kind for kind in dict.fromkeys(spec.kind for spec in menu.specs) if kind not in tried
        ]


def size_of(plan: Plan) -> str:
    """Return how much is asked of the pool when it is hit."""
    return f"{plan.jobs}+{plan.bystanders}"


def point_of(plan: Plan) -> str:
    """Return the name of the plan's crash point, as the coverage counts it."""
    assert plan.point is not None
    return f"{place_of(plan)} {plan.point.effect}"


def place_of(plan: Plan) -> str:
    """Return path and line of the plan's crash point."""
    assert plan.point is not None
    return f"{plan.point.file}:{plan.point.line}"


def newest(plans: Iterable[Plan], covered: Covered) -> Plan:
    """Return the plan that tries what has been tried least; the first of several."""
    return min(plans, key=covered.times)
