"""Menus, cases and failures as data, for the tests of a campaign."""

from typing import Any

from poolproof.campaign.tasks import Broken, Case, Least, Menu
from poolproof.chaos.crashpoints import Place
from poolproof.plan import FaultSpec, Plan, Target

TARGET = Target(name="pkg:make", cwd="/", python="/python", workers=2)
PLACES = tuple(Place("/lib/pool.py", "pool.py", line, "serve") for line in range(10, 15))
SPECS = (
    FaultSpec(kind="kill-busy"),
    FaultSpec(kind="kill-idle", victim="idle:0"),
    FaultSpec(kind="fd-exhaustion-owner"),
    FaultSpec(kind="one-core"),
)
LOST = Broken("unresolved-job", "the caller waits for ever", "the caller waits for ever (job 3)")
LEFT = Broken("leak", "a descriptor stays open", "a descriptor stays open")


def menu(**fields: Any) -> Menu:
    values: dict[str, Any] = {
        "target": TARGET,
        "specs": SPECS,
        "places": PLACES,
        "effects": ("kill",),
        **fields,
    }
    return Menu(**values)


def case(seed: int = 0, fault: str = "kill-busy", *broken: Broken, **fields: Any) -> Case:
    values: dict[str, Any] = {
        "seed": seed,
        "verdict": broken[0].verdict if broken else "valid",
        "fault": fault,
        "size": "2+4",
        "state": "all work",
        "broken": broken,
        **fields,
    }
    return Case(**values)


def plan(*kinds: str, **fields: Any) -> Plan:
    return Plan(target=TARGET, faults=tuple(FaultSpec(kind=kind) for kind in kinds), **fields)


def least(fingerprint: str, *kinds: str, again: int = 5) -> Least:
    return Least(fingerprint=fingerprint, plan=plan(*kinds), again=again, times=5)
