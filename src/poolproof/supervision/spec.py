"""What a supervisor is told.

Child specifications and policies, and everything that can be wrong with them.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from poolproof.errors import UsageError
from poolproof.supervision.overriding import override

Restart = Literal["permanent", "transient", "temporary"]
Shutdown = Literal["brutal_kill", "infinity"]
ChildType = Literal["worker", "supervisor"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]
Clock = Literal["fine", "whole_seconds"]

DEFAULT_SHUTDOWN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to start one child, when to restart it, and how to stop it.

    Attributes:
        id: what the child is called within its supervisor; unique there.
        start: a coroutine function, a `SupervisorSpec`, or any starter (`coroutine`, `actor`,
            `os_process`, yours).
        restart: `permanent` always, `transient` only after an abnormal exit, `temporary` never.
        shutdown: seconds between the request to stop and the kill, `brutal_kill`, or `infinity`;
            None means 5 seconds for a worker and `infinity` for a supervisor.
        type: `worker` or `supervisor`.
        significant: whether its own end can end the supervisor (see `auto_shutdown`).
        requires: ids of the siblings that must be up before this one is started.
    """

    id: Hashable
    start: Any
    restart: Restart = "permanent"
    shutdown: float | Shutdown | None = None
    type: ChildType = "worker"
    significant: bool = False
    requires: tuple[Hashable, ...] = ()

    @property
    def patience(self) -> float | None:
        """Seconds that the child has for its shutdown: None is for ever, 0 with `brutal_kill`."""
        if self.shutdown is None:
            return DEFAULT_SHUTDOWN_SECONDS if self.type == "worker" else None
        if self.shutdown == "infinity":
            return None
        return 0.0 if self.shutdown == "brutal_kill" else float(self.shutdown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A growing pause before each restart; OTP has none.

    Attributes:
        initial: seconds before the first restart within the period.
        maximum: seconds that no pause exceeds.
        factor: how much longer each further pause is.
    """

    initial: float
    maximum: float
    factor: float = 2.0

    def pause(self, restarts: int) -> float:
        """Return the seconds to wait before restart number `restarts` (from 1) of the period."""
        # The exponent is bounded: a float overflows long after any maximum has been reached.
        return min(self.initial * self.factor ** min(restarts - 1, 64), self.maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a supervisor reacts, whatever its children are.

    Attributes:
        strategy: whom a due restart concerns: the child, all children, or the child and those
            started after it.
        max_restarts: how many restarts within `max_seconds` are survived; OTP's intensity.
        max_seconds: the length of the window; OTP's period.
        auto_shutdown: whether the end of a significant child ends the supervisor.
        backoff: a pause before restarts, or None for OTP's immediate ones.
        clock: `fine`, or `whole_seconds` as in OTP (its window is between period and period + 1 s).
    """

    strategy: Strategy = "one_for_one"
    max_restarts: int = 1
    max_seconds: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    backoff: Backoff | None = None
    clock: Clock = "fine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a specification: where, what was expected, what was got."""

    where: str
    expected: str
    got: str

    @override
    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, got {self.got}"


class SpecError(UsageError):
    """A tree cannot be built as specified; `problems` has every reason, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{len(problems)} problem(s) in the specification:\n{lines}")


_RESTARTS: Final = get_args(Restart)
_CHOICES: Final = {
    "strategy": get_args(Strategy),
    "auto_shutdown": get_args(AutoShutdown),
    "clock": get_args(Clock),
}


def policy_problems(policy: Policy, where: str) -> Iterator[Problem]:
    """Yield everything that is wrong with `policy`."""
    for field, choices in _CHOICES.items():
        if (got := getattr(policy, field)) not in choices:
            yield Problem(
                where=f"{where}.{field}", expected=f"one of {', '.join(choices)}", got=repr(got)
            )
    if not is_count(policy.max_restarts):
        yield Problem(
            where=f"{where}.max_restarts", expected="an int >= 0", got=repr(policy.max_restarts)
        )
    if not _is_number(policy.max_seconds) or policy.max_seconds <= 0:
        yield Problem(
            where=f"{where}.max_seconds", expected="seconds > 0", got=repr(policy.max_seconds)
        )
    if policy.backoff is not None:
        yield from _backoff_problems(policy.backoff, f"{where}.backoff")


def _backoff_problems(backoff: Backoff, where: str) -> Iterator[Problem]:
    for field, least in (("initial", 0.0), ("maximum", 0.0), ("factor", 1.0)):
        got = getattr(backoff, field)
        if not _is_number(got) or got < least:
            yield Problem(
                where=f"{where}.{field}", expected=f"a number >= {least:g}", got=repr(got)
            )


def child_problems(spec: ChildSpec, auto_shutdown: AutoShutdown, where: str) -> Iterator[Problem]:
    """Yield everything that is wrong with one child specification by itself."""
    if not _is_startable(spec.start):
        expected = "a coroutine function, a SupervisorSpec or another starter"
        yield Problem(where=f"{where}.start", expected=expected, got=repr(spec.start))
    if spec.restart not in _RESTARTS:
        yield Problem(
            where=f"{where}.restart",
            expected=f"one of {', '.join(_RESTARTS)}",
            got=repr(spec.restart),
        )
    if not _is_shutdown(spec.shutdown):
        expected = "seconds >= 0, 'brutal_kill', 'infinity' or None"
        yield Problem(where=f"{where}.shutdown", expected=expected, got=repr(spec.shutdown))
    type_of_start = getattr(spec.start, "child_type", spec.type)
    if spec.type not in ("worker", "supervisor"):
        yield Problem(
            where=f"{where}.type", expected="'worker' or 'supervisor'", got=repr(spec.type)
        )
    elif spec.type != type_of_start:
        yield Problem(
            where=f"{where}.type",
            expected=f"{type_of_start!r}, as its start says",
            got=repr(spec.type),
        )
    if spec.significant is not False:
        yield from _significant_problems(spec, auto_shutdown, where)


def _significant_problems(
    spec: ChildSpec, auto_shutdown: AutoShutdown, where: str
) -> Iterator[Problem]:
    where = f"{where}.significant"
    if spec.significant is not True:
        yield Problem(where=where, expected="True or False", got=repr(spec.significant))
    if spec.restart == "permanent":
        yield Problem(
            where=where, expected="False for a permanent child", got=repr(spec.significant)
        )
    if auto_shutdown == "never":
        yield Problem(
            where=where, expected="False while auto_shutdown is 'never'", got=repr(spec.significant)
        )


def _is_startable(start: object) -> bool:
    return callable(start) or hasattr(start, "start")


def _is_shutdown(value: object) -> bool:
    if isinstance(value, int | float):
        return _is_number(value) and value >= 0
    return value is None or value in ("brutal_kill", "infinity")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 (nan)


def is_count(value: object) -> bool:
    """Return whether `value` is a number of things: an int, not a bool, not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
