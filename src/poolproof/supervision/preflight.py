"""Looks before a scenario runs whether its kills must end the tree that they are to test."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from poolproof.supervision.overriding import override
from poolproof.supervision.supervisor import SupervisorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityWarning:
    """A supervisor whose restart intensity a scenario must exceed.

    Attributes:
        where: the path of the supervisor.
        restarts: how many restarts must fall into one of its windows.
        max_restarts: how many it survives.
        max_seconds: the length of the window.
    """

    where: str
    restarts: int
    max_restarts: int
    max_seconds: float

    @override
    def __str__(self) -> str:
        return (
            f"{self.where}: expected at most {self.max_restarts} restarts in "
            f"{self.max_seconds:g} s, got at least {self.restarts} by this scenario: "
            f"the tree must end; raise max_restarts to {self.restarts}"
        )


def restarts_needed(children: int, *, kill_share: float, rounds: int = 1) -> int:
    """Return the `max_restarts` that survives the kill of a share, several rounds at once."""
    return math.ceil(round(children * kill_share, 9)) * rounds


def kills_in_a_window(kills: int, *, within: float, max_seconds: float) -> int:
    """Return how many of `kills`, spread evenly over `within` seconds, some window must hold."""
    if kills == 0 or within <= max_seconds:
        return kills
    # Of n kills at even gaps of within / n, a closed window holds at least floor(window / gap) + 1,
    # but never over n.
    return min(kills, math.floor(max_seconds * kills / within) + 1)


def preflight(
    spec: SupervisorSpec, *, kill_share: float, within: float, rounds: int = 1, where: str = "root"
) -> list[IntensityWarning]:
    """Return a warning for each supervisor of a tree that must exceed its intensity.

    Args:
        spec: the tree.
        kill_share: which share of the children of each supervisor is killed in a round.
        within: seconds over which all rounds are evenly spread.
        rounds: how many rounds there are.
        where: what the root is called.

    Only children that are restarted count: temporary ones do not.
    """
    return list(_warnings(spec, kill_share, within, rounds, where))


def _warnings(
    spec: SupervisorSpec, share: float, within: float, rounds: int, where: str
) -> Iterator[IntensityWarning]:
    restartable = sum(child.restart != "temporary" for child in spec.children)
    kills = restarts_needed(restartable, kill_share=share, rounds=rounds)
    must = kills_in_a_window(kills, within=within, max_seconds=spec.max_seconds)
    if must > spec.max_restarts:
        yield IntensityWarning(
            where=where, restarts=must, max_restarts=spec.max_restarts, max_seconds=spec.max_seconds
        )
    for child in spec.children:
        if isinstance(child.start, SupervisorSpec):
            yield from _warnings(child.start, share, within, rounds, f"{where}/{child.id}")
