"""Saved runs as a check leaves them, made from histories: what recheck, report, diff and promote read."""

from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof import plan as plans
from poolproof.chaos.recheck import recheck
from poolproof.chaos.result import CrashPoints, FaultRow, PointEntry, Result
from poolproof.chaos.saved import Run, open_run
from poolproof.checkers import Trial
from poolproof.history import encode
from poolproof.plan import Plan, Point
from tests.unit.checkers.histories import ONE, TWO, History, plan, warm

FAULT: Final = "kill-busy"
SOURCE: Final = "def work(job):\n    answer = job()\n    return answer\n"


def lost() -> History:
    """A worker dies with job 3, whose caller waits for ever; job 4 gets its answer."""
    history = warm(FAULT).submit(3, role="faulted").begun(3).submit(4).hit(ONE).death(ONE)
    history.ran(4, TWO).ok(4).mark("suspect", 3, why="quiet").mark("judged", 3, why="quiet")
    return history.heal().done(5, 6, 7, 8, pid=TWO, role="fresh").stop()


def kept() -> History:
    """The same fault, and job 3 runs again elsewhere."""
    history = warm(FAULT).submit(3, role="faulted").begun(3).hit(ONE).death(ONE)
    return history.ran(3, TWO).ok(3).heal().done(4, 5, 6, 7, pid=TWO, role="fresh").stop()


def unharmed() -> History:
    """Nothing is broken."""
    return warm().done(3, 4, 5, 6).stop()


def struck() -> History:
    """A worker dies at a line of the pool's own code, and its job is lost."""
    point = Point(file="/own/pool.py", line=2)
    history = History(point=point).start().submit(1, role="faulted").begun(1)
    data = {"file": point.file, "line": point.line, "effect": "kill", "born": ONE * 10}
    history.write("strike", ONE, data=data).death(ONE).receipt("point")
    history.mark("suspect", 1, why="quiet").mark("judged", 1, why="quiet")
    return history.done(2, pid=TWO, role="fresh").stop()


def save(directory: Path, *trials: History, **fields: Any) -> Run:
    """Save these trials under `kill-busy`, with an unharmed one, and one of a crash point; return the run, judged."""
    names = {f"trials/{number:04d}": history for number, history in enumerate(trials, 3)}
    histories = {"trials/0001": unharmed(), "trials/0002": struck(), **names}
    for name, history in histories.items():
        write(directory / name, history.plan, history)
    (directory / "sources").mkdir()
    (directory / "sources" / "pool.py").write_text(SOURCE)
    point = PointEntry(
        file="pool.py",
        line=2,
        function="work",
        effect="kill",
        ending="survived",
        trial="trials/0002",
    )
    result = Result(
        **{
            "target": "pkg:make",
            "verdict": "unknown",
            "seed": 7,
            "environment": {"cwd": "/", "workers": 2, "python": "3.11.0"},
            "checks": (),
            "crash_points": CrashPoints(total=1, points=(point,), own=("pkg",)),
            "faults": (
                FaultRow(fault="none", does="nothing", verdict="valid", histories=("trials/0001",)),
                FaultRow(fault=FAULT, does="SIGKILL", verdict="valid", histories=tuple(names)),
            ),
            "run": "r1",
            "directory": str(directory),
            "seconds": 1.5,
            **fields,
        }
    )
    keep(directory, result)
    judged = recheck(open_run(directory))
    keep(directory, judged)
    return open_run(directory)


def write(directory: Path, of: Plan, history: History) -> None:
    """Save one trial."""
    plans.save(of, directory / "plan.json")
    (directory / "history.jsonl").write_bytes(b"".join(map(encode, history.events)))


def keep(directory: Path, result: Result) -> None:
    """Save the result."""
    (directory / "result.json").write_bytes(msgspec.json.encode(result))


def trial(history: History) -> Trial:
    """Return the trial of a history, saved nowhere."""
    return Trial(history.plan, tuple(history.events))


__all__ = [
    "FAULT",
    "SOURCE",
    "keep",
    "kept",
    "lost",
    "plan",
    "save",
    "struck",
    "trial",
    "unharmed",
    "write",
]
