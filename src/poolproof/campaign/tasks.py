"""What the controller of a campaign and those who play for it say to each other: plain data, so that it may travel."""

from typing import Final, cast

import msgspec

from poolproof.chaos.crashpoints import Effect, Place
from poolproof.checkers import Verdict
from poolproof.plan import FaultSpec, Plan, Target

Counts = dict[str, int]


LEAK: Final = "leak"


class Broken(msgspec.Struct, frozen=True):
    """A promise that a play broke: the invariant, how (without numbers), and the clause that says so with numbers."""

    invariant: str
    effect: str
    reason: str
    verdict: Verdict = "invalid"


class Menu(msgspec.Struct, frozen=True, kw_only=True, tag="menu"):
    """What can be done to the target, as one survey has found.

    Attributes:
        target: with what it declares of itself.
        specs: the faults that apply.
        inapplicable: by kind of fault, why it does not.
        places: the lines of its own code that its workers pass; empty where none are to be, or can be, struck.
        effects: what may happen there.
        broken: the promises that the pool breaks unharmed.
        adapter: the family that it was recognised as.
        version: of its interpreter.
    """

    target: Target
    specs: tuple[FaultSpec, ...] = ()
    inapplicable: dict[str, str] = {}
    places: tuple[Place, ...] = ()
    effects: tuple[Effect, ...] = ()
    broken: tuple[Broken, ...] = ()
    adapter: str = ""
    version: str = ""

    @property
    def unplayable(self) -> tuple[Broken, ...]:
        """Of these, what no play could be told from: all but leaks, which are what grows beyond an unharmed life."""
        return tuple(one for one in self.broken if one.invariant != LEAK)


class Case(msgspec.Struct, frozen=True, kw_only=True, tag="case"):
    """What came of one seed.

    Attributes:
        seed: decides what was drawn, together with what was covered by then.
        verdict: of the whole play.
        fault: the kinds of fault, joined by `+`, or `crash-point:` and the effect.
        size: jobs and bystanders, which decide what the pool is doing when it is hit.
        state: what the pool was doing when it was hit; empty where nobody but the injector saw that.
        point: the path and the number of the line, of a crash point.
        broken: the promises that it broke, without what only follows from others.
        reason: why it is unknown, if it is.
        seconds: how long it took.
    """

    seed: int
    verdict: Verdict
    fault: str
    size: str
    state: str = ""
    point: str = ""
    broken: tuple[Broken, ...] = ()
    reason: str = ""
    seconds: float = 0.0


class Sighting(msgspec.Struct, frozen=True, kw_only=True, tag="sighting"):
    """A failure that was not known yet: the plan that showed it, and the history, a line for each event."""

    seed: int
    fingerprint: str
    plan: Plan
    history: str


class Least(msgspec.Struct, frozen=True, kw_only=True, tag="least"):
    """What is left of a plan that showed a failure.

    Attributes:
        fingerprint: of the failure.
        plan: the smallest that showed it; the one that was found if nothing smaller did.
        reason: how the promise is broken there.
        history: of a play of it that showed it; empty where none did.
        story: the same for people.
        runs: how many plays the cutting took.
        one_minimal: whether each of its parts was shown to be needed.
        again, times: how often it was seen again, in how many plays of what is left.
    """

    fingerprint: str
    plan: Plan
    reason: str = ""
    history: str = ""
    story: tuple[str, ...] = ()
    runs: int = 0
    one_minimal: bool = False
    again: int = 0
    times: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The task could not be done: in one line why, and the exit code of such a reason."""

    message: str
    exit_code: int


Message = Menu | Case | Sighting | Least | Failed


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How often each thing has been tried with a receipt; see `coverage`.

    Attributes:
        pairs: by `fault x state`.
        points: by `path:line effect`.
        states: in which state the pool was, by `fault x size`.
    """

    pairs: Counts = {}
    points: Counts = {}
    states: dict[str, str] = {}


class Survey(msgspec.Struct, frozen=True, kw_only=True, tag="survey"):
    """Find out what can be done to the target; answered by a `Menu`."""

    target: Target
    faults: tuple[str, ...]
    effects: tuple[Effect, ...]
    seconds: float


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag="batch"):
    """Play these seeds; answered by a `Case` each, and a `Sighting` of each failure that is not `known`."""

    menu: Menu
    seeds: tuple[int, ...]
    coverage: Coverage
    known: frozenset[str]
    seconds: float
    null: bool = False


class Cutting(msgspec.Struct, frozen=True, kw_only=True, tag="cutting"):
    """Make the plan of a failure as small as it gets, and see how often that shows it; answered by a `Least`."""

    menu: Menu
    plan: Plan
    fingerprint: str
    broken: Broken
    seconds: float


Task = Survey | Batch | Cutting

encode = msgspec.json.encode


def decode_task(line: bytes) -> Task:
    """Read a task."""
    return cast("Task", msgspec.json.decode(line, type=Task))


def decode_message(line: bytes) -> Message:
    """Read what one who plays says."""
    return cast("Message", msgspec.json.decode(line, type=Message))


def fault_of(plan: Plan) -> str:
    """Return the kinds of fault of a plan in one word."""
    if plan.point is not None:
        return f"crash-point:{plan.point.effect}"
    return "+".join(sorted(spec.kind for spec in plan.faults)) or "none"


def fingerprint(broken: Broken, fault: str) -> str:
    """Return what makes two failures the same: the promise, how it was broken, and by what."""
    return f"{broken.invariant} under {fault}: {broken.effect}"
