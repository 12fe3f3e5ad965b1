"""Hypothesis strategies for pools: jobs, sessions, failure scripts, plans, tree specs, settings.

All that is drawn is data, small first: Hypothesis shrinks towards one job that returns at once, no
failure, one worker. All that is drawn is sound: no plan or specification is refused, and what a
script breaks it heals.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hypothesis import strategies as st

from poolproof.faults import FAULTS
from poolproof.plan import FaultSpec, Plan, Point, Target
from poolproof.pool.settings import PoolSettings
from poolproof.supervision import ChildSpec, SupervisorSpec

Fate = Literal["return", "raise", "pause", "hang", "die"]
Deed = Literal["kill", "pause", "resume", "partition", "heal", "cancel"]

MAX_JOBS: Final = 20
_PAUSES_S: Final = (0.0, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One job, as data.

    Attributes:
        number: unique within its list, from 0.
        session: whose it is.
        fate: `return` at once, `raise`, `pause` for `seconds` and return, `hang` until it is
            ended, `die` with its worker.
        seconds: how long it pauses.
        cancelled: whether its caller gives up at some moment.
    """

    number: int
    session: str
    fate: Fate = "return"
    seconds: float = 0.0
    cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One step of a failure script, anchored to an event and not to a time, so that edits move nothing.

    Attributes:
        after_starts: it happens when so many jobs have begun, over all workers.
        does: what happens. `resume` ends a `pause`, `heal` a `partition`, of the same worker.
        worker: to whom, from 0; for `cancel`, which of the jobs that wait, counted round.
    """

    after_starts: int
    does: Deed
    worker: int = 0


_ENDS: Final[dict[Deed, Deed]] = {"pause": "resume", "partition": "heal"}


def sessions(count: int = 3) -> st.SearchStrategy[str]:
    """Draw the name of one of `count` sessions: s0, s1, ..."""
    return st.integers(0, count - 1).map("s{}".format)


def jobs(
    *,
    fates: Sequence[Fate] = ("return", "raise", "pause", "hang", "die"),
    most: int = MAX_JOBS,
    of_sessions: int = 3,
    cancels: bool = True,
) -> st.SearchStrategy[tuple[JobSpec, ...]]:
    """Draw a list of jobs, in the order of their submission.

    Args:
        fates: what may become of a job; the first is what it shrinks to.
        most: how many jobs there may be; at least one is drawn.
        of_sessions: how many sessions there are.
        cancels: whether callers give up.
    """
    one = st.tuples(
        sessions(of_sessions),
        st.sampled_from(fates),
        st.sampled_from(_PAUSES_S),
        st.booleans() if cancels else st.just(value=False),
    )
    return st.lists(one, min_size=1, max_size=most).map(_numbered)


def _numbered(drawn: Iterable[tuple[str, Fate, float, bool]]) -> tuple[JobSpec, ...]:
    return tuple(
        JobSpec(
            number=number,
            session=session,
            fate=fate,
            seconds=seconds if fate == "pause" else 0.0,
            cancelled=cancelled,
        )
        for number, (session, fate, seconds, cancelled) in enumerate(drawn)
    )


def failure_scripts(
    *,
    workers: int = 2,
    starts: int = MAX_JOBS,
    deeds: Sequence[Deed] = ("kill", "cancel", "pause", "partition"),
    most: int = 5,
) -> st.SearchStrategy[tuple[Failure, ...]]:
    """Draw what goes wrong and when, in the order of its anchors; whatever is begun is ended, too.

    Args:
        workers: how many there are.
        starts: the last anchor: after so many jobs have begun.
        deeds: what may happen; `resume` and `heal` come by themselves.
        most: how many deeds there may be, not counting those that end one.
    """
    at = st.integers(0, starts)
    one = st.tuples(st.sampled_from(deeds), st.integers(0, workers - 1), at, at)
    return st.lists(one, max_size=most).map(_script)


def _script(drawn: Iterable[tuple[Deed, int, int, int]]) -> tuple[Failure, ...]:
    script: list[Failure] = []
    broken: set[int] = set()
    for does, worker, one, other in drawn:
        if does not in _ENDS:
            script.append(Failure(after_starts=one, does=does, worker=worker))
        elif worker not in broken:
            broken.add(worker)  # once each: two at a time on one worker could not be told apart
            begins, ends = sorted((one, other))
            script.append(Failure(after_starts=begins, does=does, worker=worker))
            script.append(Failure(after_starts=ends, does=_ENDS[does], worker=worker))
    return tuple(sorted(script, key=lambda failure: failure.after_starts))


def fault_specs(kinds: Collection[str] | None = None) -> st.SearchStrategy[FaultSpec]:
    """Draw a registered fault with one of its variants; `kinds` are all that are registered, else."""
    chosen = sorted(FAULTS if kinds is None else kinds)
    variants = [(kind, victim) for kind in chosen for victim in FAULTS[kind].variants or ("",)]
    return st.sampled_from(variants).map(lambda one: FaultSpec(kind=one[0], victim=one[1]))


@st.composite
def plans(
    draw: st.DrawFn,
    target: Target,
    *,
    kinds: Collection[str] | None = None,
    points: Sequence[Point] = (),
) -> Plan:
    """Draw a plan for a target: nothing that breaks it, one fault, or one crash point.

    Args:
        draw: given by Hypothesis.
        target: what is to be checked.
        kinds: of faults; None means all that are registered.
        points: crash points of the target's code, as a record run has found them.
    """
    faults = tuple(draw(st.lists(fault_specs(kinds), max_size=1)))
    point = draw(st.none() | st.sampled_from(points)) if points and not faults else None
    small = st.integers(0, 8)
    return Plan(
        target=target,
        faults=faults,
        point=point,
        warmup=draw(small),
        jobs=draw(st.integers(1, 4)),
        bystanders=draw(small),
        fresh=draw(small),
        seed=draw(st.integers(0, 2**32 - 1)),
        lives=draw(st.integers(1, 3)),
    )


@st.composite
def tree_specs(draw: st.DrawFn, start: Any, *, depth: int = 2, most: int = 4) -> SupervisorSpec:
    """Draw a supervision tree whose workers are all started by `start`; it has no problems.

    Args:
        draw: given by Hypothesis.
        start: a coroutine function or another starter, for `ChildSpec`.
        depth: how many levels of supervisors there may be below the first.
        most: how many children a supervisor may have.
    """
    ends: Any = draw(st.sampled_from(["never", "any_significant", "all_significant"]))
    count = draw(st.integers(0, most))
    strategy: Any = draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]))
    return SupervisorSpec(
        strategy=strategy,
        max_restarts=draw(st.integers(0, 5)),
        max_seconds=draw(st.sampled_from([1.0, 5.0, 60.0])),
        auto_shutdown=ends,
        children=[
            draw(_child(start, f"child {at}", ends=ends, depth=depth, most=most))
            for at in range(count)
        ],
    )


@st.composite
def _child(
    draw: st.DrawFn, start: Any, name: str, *, ends: str, depth: int, most: int
) -> ChildSpec:
    restart: Any = draw(st.sampled_from(["permanent", "transient", "temporary"]))
    may_end = ends != "never" and restart != "permanent"
    fields: dict[str, Any] = {
        "id": name,
        "restart": restart,
        "significant": may_end and draw(st.booleans()),
    }
    if depth and draw(st.booleans()):
        tree = draw(tree_specs(start, depth=depth - 1, most=most))
        return ChildSpec(start=tree, type="supervisor", **fields)
    shutdown: Any = draw(st.sampled_from([None, 0.1, 5.0, "brutal_kill", "infinity"]))
    return ChildSpec(start=start, shutdown=shutdown, **fields)


def pool_settings(**fixed: Any) -> st.SearchStrategy[PoolSettings]:
    """Draw the settings of a pool that decide its behaviour; `fixed` ones are as given."""
    drawn: dict[str, st.SearchStrategy[Any]] = {
        "size": st.integers(1, 4),
        "overflow": st.integers(0, 2),
        "lazy": st.booleans(),
        "order": st.sampled_from(["lifo", "fifo"]),
        "line": st.sampled_from(["fifo", "lifo"]),
        "most_waiting": st.integers(1, MAX_JOBS),
        "affinity": st.sampled_from(["hint", "strict"]),
        "most_ahead": st.integers(1, 4),
        "resends": st.integers(0, 3),
    }
    free = {name: strategy for name, strategy in drawn.items() if name not in fixed}
    return st.fixed_dictionaries(free).map(lambda chosen: PoolSettings(**fixed, **chosen))
