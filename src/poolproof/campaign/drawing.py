"""From a seed to a plan: everything about it is drawn, and of several, what has been tried least is taken.

Swarm testing (A. Groce et al., "Swarm testing", ISSTA 2012): each plan has its own sizes and its own few faults, since
what all plans have in common hides what only shows without it.
"""

import random
from collections.abc import Sequence
from typing import Final

from poolproof.campaign.coverage import Covered, newest
from poolproof.campaign.tasks import Menu
from poolproof.faults import lookup
from poolproof.faults.base import Fault, nothing
from poolproof.plan import FaultSpec, Plan, Point

CANDIDATES: Final = 8
"""Of so many plans drawn from one seed, one is played."""
BESIDE_SHARE: Final = 0.3
"""How often there are other faults beside the first, where any may be."""


def draw(seed: int, menu: Menu, covered: Covered, *, null: bool = False) -> Plan:
    """Return the plan of this seed; the same one for the same seed, menu and coverage."""
    rng = random.Random(f"campaign/{seed}")  # noqa: S311 - it must repeat
    candidates = [_candidate(rng, menu, seed, null=null) for _ in range(CANDIDATES)]
    return newest(candidates, covered)


def _candidate(rng: random.Random, menu: Menu, seed: int, *, null: bool) -> Plan:
    width = menu.target.workers
    strikes = bool(menu.places) and (not menu.specs or rng.random() < 0.5)  # noqa: PLR2004 - a coin
    return Plan(
        target=menu.target,
        faults=() if strikes else _faults(rng, menu.specs),
        point=_point(rng, menu) if strikes else None,
        warmup=0 if strikes else rng.choice((1, width, 2 * width)),
        jobs=rng.choice((1, 2, width, 2 * width)),
        bystanders=rng.choice((0, 1, width, 2 * width, 4 * width)),
        fresh=rng.choice((1, width, 2 * width)),
        seed=seed,
        null=null,
    )


def _point(rng: random.Random, menu: Menu) -> Point:
    place = rng.choice(menu.places)
    return Point(file=place.path, line=place.line, effect=rng.choice(menu.effects))


def _faults(rng: random.Random, specs: Sequence[FaultSpec]) -> tuple[FaultSpec, ...]:
    """Return one fault, and now and then one or two beside it that last."""
    first = rng.choice(specs)
    fits = [spec for spec in specs if _fits(lookup(spec.kind), lookup(first.kind))]
    if not fits or rng.random() >= BESIDE_SHARE:
        return (first,)
    return (first, *rng.sample(fits, min(len(fits), rng.randint(1, 2))))


def _fits(other: Fault, first: Fault) -> bool:
    """Tell whether a fault can be done in the same moment as the first, without a claim on the same victim's end."""
    lasts = other.heal is not nothing and other.body == "echo"
    return lasts and other.moment == first.moment and other.kind != first.kind
