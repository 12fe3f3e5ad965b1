"""The decision: a supervisor's situation and an event give a plan.

Nothing here changes or starts anything.

Events, steps and plans are named tuples, not dataclasses: one restart makes half a dozen of them,
and must not take longer than Erlang's.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from poolproof.supervision.answers import Refusal
from poolproof.supervision.reasons import SHUTDOWN, ExitReason, shutdown
from poolproof.supervision.spec import ChildSpec, Policy

Status = Literal["running", "restarting", "stopped"]
Cause = Literal["boot", "restart", "request"]
Context = Literal["start_error", "child_terminated", "shutdown_error", "escalation", "exited"]

_NS: Final = 1_000_000_000


class Child(Protocol):
    """What a decision sees of one child."""

    @property
    def spec(self) -> ChildSpec:
        """Its specification."""
        ...

    @property
    def status(self) -> Status:
        """`running`, `restarting` (a retry or a pause is pending) or `stopped`."""
        ...


class Situation(Protocol):
    """What a decision sees of a supervisor."""

    @property
    def policy(self) -> Policy:
        """How the supervisor is to react."""
        ...

    @property
    def children(self) -> Mapping[Hashable, Child]:
        """The children by id, in start order."""
        ...

    @property
    def restarts(self) -> Sequence[int]:
        """The times (ns) of the counted restarts, oldest first; those before the window may lack."""
        ...

    @property
    def dynamic(self) -> bool:
        """Whether the children are stopped in parallel."""
        ...


# What can happen to a supervisor.
class Booted(NamedTuple):
    """All children are to be started in order."""


class Exited(NamedTuple):
    """A running child has ended."""

    id: Hashable
    reason: ExitReason
    now_ns: int


class Retried(NamedTuple):
    """It is time to try a failed restart again; this attempt counts."""

    id: Hashable
    now_ns: int


class Due(NamedTuple):
    """The pause before a restart is over; the restart has been counted before."""

    id: Hashable


class StartFailed(NamedTuple):
    """A start of the plan has failed; the rest of that plan is void."""

    id: Hashable
    reason: ExitReason
    cause: Cause


class Stopped(NamedTuple):
    """The supervisor itself is to end."""

    reason: ExitReason


Event = Booted | Exited | Retried | Due | StartFailed | Stopped


# What a supervisor can be told to do.
class Start(NamedTuple):
    """Start the child; on failure drop the rest and decide anew."""

    id: Hashable
    cause: Cause


class Terminate(NamedTuple):
    """Stop the child if it runs, by its shutdown protocol, then `Drop` it."""

    id: Hashable


class TerminateAll(NamedTuple):
    """Stop all running children in parallel."""


class Drop(NamedTuple):
    """Mark the child stopped; forget a temporary one altogether."""

    id: Hashable


class Forget(NamedTuple):
    """Drop the child's specification."""

    id: Hashable


class Park(NamedTuple):
    """Mark the child restarting."""

    id: Hashable


class Again(NamedTuple):
    """Put a `Retried` at the end of the supervisor's own mailbox."""

    id: Hashable


class Later(NamedTuple):
    """Put a `Due` into the supervisor's own mailbox after a pause."""

    id: Hashable
    delay: float


class Count(NamedTuple):
    """Note one restart at this time."""

    now_ns: int


class Report(NamedTuple):
    """Tell the sink."""

    context: Context
    id: Hashable
    reason: ExitReason


class Finish(NamedTuple):
    """The supervisor ends; nothing comes after."""

    reason: ExitReason


Step = (
    Start
    | Terminate
    | TerminateAll
    | Drop
    | Forget
    | Park
    | Again
    | Later
    | Count
    | Report
    | Finish
)
Plan = tuple[Step, ...]

INTENSITY_REACHED: Final = ExitReason("error", "reached_max_restart_intensity")


def decide(situation: Situation, event: Event) -> Plan:
    """Return what a supervisor in `situation` has to do about `event`, in order."""
    return _DECISIONS[type(event)](situation, event)


def _on_booted(situation: Situation, _: Booted) -> Plan:
    return tuple(Start(name, "boot") for name in situation.children)


def _on_stopped(situation: Situation, event: Stopped) -> Plan:
    return tuple(_ending(situation, event.reason))


def _on_exited(situation: Situation, event: Exited) -> Plan:
    child = situation.children[event.id]
    restart = child.spec.restart
    if restart == "permanent" or (restart == "transient" and event.reason.abnormal):
        report = Report("child_terminated", event.id, event.reason)
        return (report, *_restart(situation, event.id, event.now_ns))
    context: Context = "child_terminated" if event.reason.abnormal else "exited"
    gone = (Report(context, event.id, event.reason), Drop(event.id))
    if _ends_the_supervisor(situation, child):
        return (*gone, *_ending(situation, SHUTDOWN))
    return gone


def _on_retried(situation: Situation, event: Retried) -> Plan:
    child = situation.children.get(event.id)
    if child is None or child.status != "restarting":
        return ()
    return tuple(_restart(situation, event.id, event.now_ns))


def _on_due(situation: Situation, event: Due) -> Plan:
    child = situation.children.get(event.id)
    if child is None or child.status != "restarting":
        return ()
    return tuple(_group_restart(situation, event.id))


def _restart(situation: Situation, name: Hashable, now_ns: int) -> Iterable[Step]:
    policy = situation.policy
    count = Count(now_ns)
    if intensity_exceeded(policy, situation.restarts, now_ns):
        offence = (count, Report("escalation", name, INTENSITY_REACHED), Drop(name))
        return (*offence, *_ending(situation, SHUTDOWN))
    if policy.backoff is None:
        if policy.strategy == "one_for_one":
            return (count, Start(name, "restart"))
        return (count, *_group_restart(situation, name))
    pause = policy.backoff.pause(restartswithin(policy, situation.restarts, now_ns) + 1)
    members = _group(situation, name)
    others = (Terminate(member) for member in reversed(members) if member != name)
    return (count, *others, Park(name), Later(name, pause))


def _group_restart(situation: Situation, name: Hashable) -> Iterator[Step]:
    """Stop the group in reverse order and start it in order.

    Siblings that are temporary are not started again.
    """
    members = _group(situation, name)
    if len(members) == 1:
        yield Start(name, "restart")
        return
    yield Drop(name)
    yield from (Terminate(member) for member in reversed(members) if member != name)
    children = situation.children
    yield from (
        Start(member, "restart")
        for member in members
        if children[member].spec.restart != "temporary"
    )


def _group(situation: Situation, name: Hashable) -> Sequence[Hashable]:
    """Return the ids that a restart of `name` concerns, in start order."""
    strategy = situation.policy.strategy
    if strategy == "one_for_one":
        return (name,)
    ids = list(situation.children)
    return ids if strategy == "one_for_all" else ids[ids.index(name) :]


def _on_start_failed(situation: Situation, event: StartFailed) -> Plan:
    report = Report("start_error", event.id, event.reason)
    if event.cause == "boot":
        failure = shutdown(("failed_to_start_child", event.id, event.reason))
        return (report, *_ending(situation, failure))
    if event.cause == "request":
        return ()
    return (report, Park(event.id), Again(event.id))


def _ends_the_supervisor(situation: Situation, child: Child) -> bool:
    mode = situation.policy.auto_shutdown
    if mode == "never" or not child.spec.significant:
        return False
    if mode == "any_significant":
        return True
    others: Collection[Child] = situation.children.values()
    return not any(
        other.spec.significant and other.status != "stopped"
        for other in others
        if other is not child
    )


def _ending(situation: Situation, reason: ExitReason) -> Iterator[Step]:
    if situation.dynamic:
        yield TerminateAll()
    else:
        children = situation.children
        yield from (Terminate(name) for name in reversed(list(children)))
    yield Finish(reason)


def intensity_exceeded(policy: Policy, restarts: Sequence[int], now_ns: int) -> bool:
    """Return whether one more restart at `now_ns` is one too many.

    The window is inclusive, as in OTP.
    """
    limit = policy.max_restarts
    if len(restarts) < limit:
        return False
    return limit == 0 or within(policy, restarts[-limit], now_ns)


def restartswithin(policy: Policy, restarts: Sequence[int], now_ns: int) -> int:
    """Return how many of the counted restarts still lie within the period that ends at `now_ns`."""
    return sum(within(policy, then, now_ns) for then in restarts)


def within(policy: Policy, then_ns: int, now_ns: int) -> bool:
    """Return whether a restart at `then_ns` still lies in the window that ends at `now_ns`."""
    if policy.clock == "whole_seconds":
        return now_ns // _NS - then_ns // _NS <= policy.max_seconds
    return now_ns - then_ns <= policy.max_seconds * _NS


_DECISIONS: Final[dict[type, Callable[..., Plan]]] = {
    Booted: _on_booted,
    Exited: _on_exited,
    Retried: _on_retried,
    Due: _on_due,
    StartFailed: _on_start_failed,
    Stopped: _on_stopped,
}


def expected_at_shutdown(spec: ChildSpec, reason: ExitReason) -> bool:
    """Return whether a child that was told to stop ended as it should.

    Anything else is a `shutdown_error`.
    """
    if spec.shutdown == "brutal_kill" and reason.kind == "killed":
        return True
    if reason == SHUTDOWN and spec.shutdown != "brutal_kill":
        return True
    return reason.kind in {"normal", "shutdown"} and spec.restart != "permanent"


def request_answer(child: Child | None) -> Refusal | None:
    """Return OTP's refusal for restart_child and delete_child, or None if there is none."""
    if child is None:
        return "not_found"
    return None if child.status == "stopped" else child.status
