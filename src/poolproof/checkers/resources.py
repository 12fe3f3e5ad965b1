"""What is left behind: by a shutdown, and by the death of the owner."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from poolproof.checkers.base import Charge, Claim, accuse, checker, named, unknown, valid
from poolproof.checkers.delivery import caller_died
from poolproof.checkers.evidence import lasted, moment, unconfirmed
from poolproof.checkers.records import Process, buried, operation, runner
from poolproof.checkers.trial import Trial
from poolproof.history import Event

# Processes that the standard library starts once and keeps.
_HELPERS: Final = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

_Thing = tuple[str, str]
"""A category of a sample, and a kind within it that is the same in every trial."""


def shutdown_not_over(trial: Trial) -> str | None:
    """Say that nothing can have been given back yet."""
    asked, ended = trial.stop
    return (
        "the shutdown never returned, so nothing was given back yet"
        if asked and not ended
        else None
    )


@checker("leak", needs=[caller_died, shutdown_not_over])
def leak(trial: Trial) -> Sequence[Claim]:
    """The shutdown leaves no more behind than it does when nothing is broken; and then, nothing."""
    if not _sampled(trial):
        return unknown("the owner was not sampled both before the start and after the shutdown")
    reference = _comparable(trial)
    charges = _excesses(trial, reference)
    if not charges:
        beyond = " beyond what it always leaves" if reference else ""
        return valid(f"the shutdown left nothing behind{beyond}")
    if reference is None and (trial.faulted or trial.plan.lives == 1):
        return unknown(
            "something was left behind, and no trial without a fault tells whether it always is",
            evidence=[charge.text for charge in charges],
        )
    return accuse(charges)


def nothing_left(trial: Trial) -> bool:
    """Tell whether the last sample after the shutdown shows no more than there was before."""
    return _sampled(trial) and not _excesses(trial, _comparable(trial))


def _comparable(trial: Trial) -> Trial | None:
    """Return the reference if it tells what this trial may leave: sampled, after as many lives."""
    reference = trial.reference
    if reference and _sampled(reference) and reference.plan.lives == trial.plan.lives:
        return reference
    return None


def _excesses(trial: Trial, reference: Trial | None) -> list[Charge]:
    usual = _growth(reference) if reference else Counter[_Thing]()
    return [
        charge
        for thing, names in _left(trial).items()
        for charge in _excess(thing, names, usual[thing])
    ]


def _sampled(trial: Trial) -> bool:
    return "before" in trial.samples and "after" in trial.samples


def _growth(trial: Trial) -> Counter[_Thing]:
    return Counter({thing: len(names) for thing, names in _left(trial).items()})


def _left(trial: Trial) -> dict[_Thing, list[str]]:
    """Return what the owner holds after the shutdown and did not hold before the start, by name."""
    before, after = _holdings(trial.samples["before"]), _holdings(trial.samples["after"])
    left: dict[_Thing, list[str]] = {}
    for (category, kind, name), count in sorted((after - before).items()):
        left.setdefault((category, kind), []).extend([name] * count)
    return left


def _holdings(sample: Event) -> Counter[tuple[str, str, str]]:
    held: Counter[tuple[str, str, str]] = Counter()
    for kind, count in sample.data["fds"].items():
        held["fds", "file" if kind.startswith("/") else kind, kind] += count
    held.update(("threads", re.sub(r"\d+", "#", name), name) for name in sample.data["threads"])
    held.update(
        ("processes", "", _named(process))
        for process in sample.data["processes"]
        if not _helper(process)
    )
    held.update(("shm", "", name) for name in sample.data["shm"])
    held.update(("files", "", name) for name in sample.data["files"])
    return held


def _named(process: dict[str, Any]) -> str:
    born, cmdline = process.get("born"), process.get("cmdline", "").strip()
    return f"{process['pid']} ({cmdline}, born at tick {born})"


def _helper(process: dict[str, Any]) -> bool:
    return any(helper in process.get("cmdline", "") for helper in _HELPERS)


_EFFECTS: Final = {
    "fds": "leaked file descriptors",
    "threads": "a leaked thread",
    "processes": "a leaked process",
    "shm": "leaked shared memory",
    "files": "a leaked temporary file",
}


def _excess(thing: _Thing, names: list[str], usual: int) -> Iterator[Charge]:
    if len(names) > usual:
        category, kind = thing
        effect = f"{_EFFECTS[category]} ({kind})" if category == "fds" else _EFFECTS[category]
        listed = ", ".join(
            f"{name} x {count}" if count > 1 else name for name, count in Counter(names).items()
        )
        text = f"{category}: {len(names)} more after the shutdown than before the start: {listed}"
        if usual:
            text += f"; {usual} of them are there without a fault as well"
        yield Charge(effect=effect, text=text)


def owner_lives(trial: Trial) -> str | None:
    """Say that the owner was not to be killed."""
    return None if trial.owner_killed else "the owner of the pool was not killed in this trial"


def no_worker_process(trial: Trial) -> str | None:
    """Say that every job ran in the owner itself."""
    pids = {start.pid for job in trial.jobs.values() for start in job.starts}
    return (
        "its jobs ran in the owner's own process"
        if pids and pids == {trial.owner} and not _workers(trial)
        else None
    )


@checker("orphan", needs=[owner_lives, no_worker_process])
def orphan(trial: Trial) -> Sequence[Claim]:
    """No worker outlives its owner."""
    killed = min(
        fault.injected_at or 0 for fault in trial.faults if fault.kind.startswith("owner-killed")
    )
    workers = _workers(trial)
    if not workers:
        return unknown("no worker process was seen before the owner was killed")
    judged = next((event for event in reversed(trial.of_kind("judged")) if event.t >= killed), None)
    alive = [] if _emptied(trial, killed) else _survivors(trial, workers, judged)
    if not alive:
        return valid(f"all {len(workers)} workers ended after their owner")
    texts = [_survival(trial, worker, killed, judged) for worker in alive]
    if judged is None:
        return unknown(
            f"no record tells the death of {len(alive)} workers, and {unconfirmed(trial)}",
            evidence=texts,
        )
    return accuse([Charge(effect="a worker outlives its owner", text=text) for text in texts])


def _emptied(trial: Trial, killed: int) -> bool:
    """Tell whether the controller saw that nothing was left of the trial's tree."""
    ends = [event for event in trial.of_kind("phase") if event.data.get("phase") == "end"]
    moved = [event for event in trial.of_kind("moved") if operation(event) == "owner"]
    return any(event.t >= killed for event in (*ends, *moved))


def _survivors(trial: Trial, workers: list[Process], judged: Event | None) -> list[Process]:
    """Return who is alive by the judge's word, or, without it, whose death is not on record."""
    if judged is not None and (alive := judged.data.get("alive")):
        return [Process(pid) for pid in sorted(alive)]
    return [worker for worker in workers if not _dead(trial, worker, judged)]


def _workers(trial: Trial) -> list[Process]:
    """Return the processes that ran jobs, and the owner's children when the pool had started."""
    ran = [runner(start) for job in trial.jobs.values() for start in job.starts]
    started = trial.samples.get("started")
    below: list[dict[str, Any]] = started.data["processes"] if started else []
    children = [Process(child["pid"], child.get("born")) for child in below if not _helper(child)]
    by_pid = {worker.pid: worker for worker in (*children, *ran) if worker.pid != trial.owner}
    return [by_pid[pid] for pid in sorted(by_pid)]


def _dead(trial: Trial, worker: Process, judged: Event | None) -> bool:
    return any(
        buried(death).is_(worker) and (judged is None or death.t <= judged.t)
        for death in trial.deaths
    )


def _survival(trial: Trial, worker: Process, killed: int, judged: Event | None) -> str:
    ran = [
        job.number for job in trial.jobs.values() if any(runner(s).is_(worker) for s in job.starts)
    ]
    did = f"which ran {named(ran) if ran else 'no job'}"
    text = f"owner {trial.owner} was killed at {moment(trial, killed)}; worker {worker.pid}, {did}"
    return f"{text}, was still alive {lasted(trial, judged)}" if judged else text
