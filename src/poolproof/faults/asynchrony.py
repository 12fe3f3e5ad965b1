"""Faults of pools that live on one event loop: cancellation at each turn after a hand-over, and stalls of the loop."""

from collections.abc import Sequence

from poolproof.faults.base import Fault, Scene, register
from poolproof.plan import FaultSpec
from poolproof.watch.procfs import Identity

TURNS = 13


def _cancelled_at_turn(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    for event in scene.events:
        if event.kind == "effect" and event.data.get("effect") == "cancelled-at-turn":
            return f"job {event.job} was cancelled {event.data['turns']} turns of the loop after the hand-over"
    return None


def _stalled(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    for event in scene.events:
        if event.kind == "effect" and event.data.get("effect") == "stalled":
            return f"the loop stood still for {event.data['ms']:.0f} ms by its own clock"
    return None


register(
    Fault(
        kind="cancel-at-handover",
        does=f"cancellation of a waiting job, 0 to {TURNS - 1} turns of the loop after a running one ends",
        moment="handover",
        needs=("loop", "cancel"),
        variants=tuple(f"turn:{turn}" for turn in range(TURNS)),
        receipt=_cancelled_at_turn,
    )
)
register(
    Fault(
        kind="loop-stall",
        does="a stalled loop, so that the end of one job and the cancellation of the next come in one turn",
        moment="handover",
        needs=("loop", "cancel"),
        variants=("stall",),
        receipt=_stalled,
    )
)
