"""The sweep of crash points: record once which lines of the pool's own code its workers pass, then die at each."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, cast

import msgspec

from poolproof.chaos.result import Ending, PointEntry
from poolproof.chaos.trials import Profile, Trials
from poolproof.checkers import PointClass, Trial, classify
from poolproof.plan import Plan, Point

Effect = Literal["kill", "raise", "hang"]

FOR_OTHERS: Final = 24
"""Places for open trials that a sweep leaves to what has been found meanwhile and is to be confirmed."""


class Place(msgspec.Struct, frozen=True):
    """A line of the pool's own code that a worker passed: its path, its path for people, its number, its function."""

    path: str
    file: str
    line: int
    function: str


async def record(trials: Trials, plan: Plan, own_paths: Sequence[str]) -> tuple[Place, ...]:
    """Play the plan unharmed and return the places that its workers passed, in the order of their first pass.

    Lines of modules and of class bodies are left out: they run once, when a worker imports them.
    """
    trial = await trials.play(plan, points={"mode": "record", "own": list(own_paths)})
    found: dict[tuple[str, int], Place] = {}
    for event in trial.events:
        if event.kind == "point" and not event.data.get("body"):
            path, line = str(event.data["file"]), int(event.data["line"])
            place = Place(path, _short(path, own_paths), line, str(event.data.get("name", "")))
            found.setdefault((path, line), place)
    return tuple(found.values())


def _short(path: str, own_paths: Iterable[str]) -> str:
    """Return the path from the package on: `multiprocessing/pool.py`."""
    for own in own_paths:
        if path == own:
            return Path(path).name
        if path.startswith(own):
            return str(Path(Path(own).name, Path(path).relative_to(own)))
    return Path(path).name


async def sweep(
    trials: Trials,
    plan: Plan,
    places: Sequence[Place],
    effects: Sequence[Effect],
    stepped: Callable[[], None],
) -> dict[PointEntry, Trial | None]:
    """Play one trial for each place and effect, and return how each ended; None where time ran out before."""
    at_once = asyncio.Semaphore(trials.slots.places - FOR_OTHERS)
    wanted: list[tuple[Place, Effect]] = [(place, effect) for effect in effects for place in places]

    async def one(place: Place, effect: Effect) -> tuple[PointEntry, Trial | None]:
        async with at_once, trials.slots.opened():
            entry, trial = await strike(trials, plan, place, effect)
        stepped()
        return entry, trial

    return dict(await asyncio.gather(*(one(place, effect) for place, effect in wanted)))


async def again(
    trials: Trials,
    plan: Plan,
    places: Sequence[Place],
    points: dict[PointEntry, Trial | None],
) -> dict[PointEntry, Trial | None]:
    """Strike anew where the pool did not survive, after another trial was found to have harmed those that followed.

    The old entries of those places are taken out of `points`.
    """
    doubtful = [point for point in points if point.ending not in ("survived", "not_tried")]
    found: dict[PointEntry, Trial | None] = {}
    for effect in dict.fromkeys(point.effect for point in doubtful):
        struck = {(point.file, point.line) for point in doubtful if point.effect == effect}
        where = [place for place in places if (place.file, place.line) in struck]
        found |= await sweep(trials, plan, where, (cast("Effect", effect),), lambda: None)
    for point in doubtful:
        del points[point]
    return found


async def strike(
    trials: Trials, plan: Plan, place: Place, effect: Effect
) -> tuple[PointEntry, Trial | None]:
    """Play the plan with a worker struck at this place; return how that ended."""
    if not trials.slots.may_begin():
        return entry_of(place, effect, "not_tried", reason="no time left"), None
    struck = msgspec.structs.replace(
        plan, point=Point(file=place.path, line=place.line, effect=effect)
    )
    trial = await trials.play(struck, reference=_reference(trials), points=points_of(struck))
    if not trial.events:
        return entry_of(place, effect, "not_tried", reason="no time left"), None
    entry = judged(place, effect, classify(trial, trial.reference))
    return msgspec.structs.replace(entry, trial=trial.directory or None), trial


def points_of(plan: Plan) -> dict[str, object] | None:
    """Return what the workers of a trial of this plan are told; nothing if it is to be replaced by nothing."""
    if plan.point is None or plan.null:
        return None
    point = plan.point
    return {
        "mode": "strike",
        "own": [],
        "file": point.file,
        "line": point.line,
        "effect": point.effect,
    }


def judged(place: Place, effect: Effect, found: PointClass) -> PointEntry:
    """Return the entry of a place whose trial was classified; what could not be judged was, in effect, not tried."""
    if found.name == "unknown":
        return entry_of(
            place,
            effect,
            "not_tried",
            reason="not judged before time ran out, or without a receipt",
        )
    return entry_of(place, effect, found.name, effects=found.effects, seconds=found.seconds)


def entry_of(
    place: Place,
    effect: str,
    ending: Ending,
    *,
    effects: tuple[str, ...] = (),
    seconds: float | None = None,
    reason: str = "",
) -> PointEntry:
    """Return the entry of a place in the table."""
    return PointEntry(
        file=place.file,
        line=place.line,
        function=place.function,
        effect=effect,
        ending=ending,
        effects=effects,
        seconds=seconds,
        reason=reason,
    )


def save_sources(points: Mapping[PointEntry, Trial | None], directory: Path) -> None:
    """Keep the text of each file that has crash points: `file` of an entry is its path below `directory`."""
    paths = {
        entry.file: trial.plan.point.file
        for entry, trial in points.items()
        if trial is not None and trial.plan.point is not None
    }
    for file, path in paths.items():
        copy = directory / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # a report can do without
            copy.write_bytes(Path(path).read_bytes())


def _reference(trials: Trials) -> Trial | None:
    profile: Profile | None = trials.profile
    return profile.reference if profile else None
