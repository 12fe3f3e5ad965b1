"""What `poolproof replay` does with a plan of one of our stacks: in virtual time, or k of n times on real processes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from poolproof.cli import session
from poolproof.errors import UsageError
from poolproof.stats import wilson

if TYPE_CHECKING:
    from poolproof.simulation import Played
    from poolproof.stateful.plans import SimulatedPlan

BROKEN, SOUND, UNKNOWN = 1, 0, 3


def is_of_a_stack(path: Path) -> bool:
    """Tell whether a file holds a plan of one of our stacks: it has a layer, and no target."""
    try:
        found: object = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False  # `load` says what is wrong with it
    return isinstance(found, dict) and "layer" in found and "target" not in found


def replay_stack(arguments: argparse.Namespace) -> int:
    """Play the plan; return 1 if a promise was broken, 3 if a play proved nothing, else 0.

    Raises:
        UsageError: Hypothesis is missing, or it is no such plan.
    """
    try:
        from poolproof.stateful import plans  # noqa: PLC0415 - it needs Hypothesis
    except ModuleNotFoundError as error:
        raise UsageError(
            f"expected Hypothesis to be installed for a plan of a stack, got {error}; install poolproof[hypothesis]"
        ) from error
    for file in (arguments.json, arguments.shrink):
        session.writable_file(file)
    plan = plans.load(arguments.plan)
    told = (
        _on_full(plan, arguments.times)
        if plan.layer == "full"
        else _simulated(plan, arguments.times)
    )
    if arguments.shrink and told["broken"]:
        told["shrunk"] = _shrunk(plan, arguments.shrink)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return BROKEN if told["broken"] else UNKNOWN if told["unknown"] else SOUND


def _simulated(plan: "SimulatedPlan", times: int) -> dict[str, Any]:
    """Play it in virtual time: the same every time, and said so by its trace."""
    from poolproof.stateful.playing import judged, play_plan  # noqa: PLC0415 - it needs Hypothesis

    runs: list[Played[None]] = [play_plan(plan) for _ in range(times)]
    traces = sorted({run.trace for run in runs})
    told = _told(plan, [judged(run.error) for run in runs], "in virtual time")
    same = "the same" if len(traces) == 1 else len(traces)
    print(f"  {same} order of steps: {', '.join(traces)}")
    return {**told, "traces": traces}


def _on_full(plan: "SimulatedPlan", times: int) -> dict[str, Any]:
    """Play it on real processes, which never take the same turns twice: what is shown is a share."""
    from poolproof.stateful.playing import outcome  # noqa: PLC0415 - it needs Hypothesis

    errors = [outcome(plan) for _ in range(times)]
    low, high = interval = wilson(sum(_is_broken(error) for error in errors), times)
    told = _told(plan, errors, f"95 % Wilson interval {low:.0%} to {high:.0%}")
    return {**told, "interval": interval}


def _is_broken(error: Exception | None) -> bool:
    return hasattr(error, "invariant")


def _told(plan: "SimulatedPlan", errors: list[Any], how: str) -> dict[str, Any]:
    """Say what came of the plays."""
    broken = sum(map(_is_broken, errors))
    unknown = sum(error is not None for error in errors) - broken
    print(f"stack on {plan.layer}: {broken} of {len(errors)} broke a promise, {how}")
    for text in dict.fromkeys(f"{_slug(error)}: {error}" for error in errors if error is not None):
        print(f"  {text}")
    return {"times": len(errors), "broken": broken, "unknown": unknown}


def _slug(error: Exception) -> str:
    return getattr(error, "invariant", "unknown")


def _shrunk(plan: "SimulatedPlan", file: Path) -> dict[str, Any] | None:
    """Shrink it, a plan of real processes on mock if it fails there, too; save what is left."""
    from poolproof.stateful import demotion, plans, playing, shrinking  # noqa: PLC0415

    if plan.layer != "full":
        shrunk = shrinking.shrink_plan(plan, playing.play_plan(plan))
        least, story = shrunk.plan, shrinking.story(plan, shrunk)
    elif (demoted := demotion.demote(plan)) is not None:
        least, story = demoted.plan, demoted.story()
    else:
        print(f"it did not fail again in {demotion.TIMES} plays: nothing to shrink")
        return None
    plans.save(least, file)
    for line in (*story, f"saved: {file}"):
        print(line)
    return {"plan": str(file), "jobs": len(least.jobs), "faults": len(least.faults), "story": story}
