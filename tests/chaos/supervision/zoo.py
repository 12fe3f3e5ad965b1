"""Supervisors with one small ablation each: every one of them is wrong, and must be caught."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from poolproof.supervision import restart
from poolproof.supervision.reasons import NORMAL, SHUTDOWN, error
from poolproof.supervision.restart import (
    Again,
    Count,
    Drop,
    Event,
    Exited,
    Finish,
    Plan,
    Report,
    Retried,
    Situation,
    Start,
    StartFailed,
    Terminate,
)

Decide = Callable[[Situation, Event], Plan]


class With:
    """A situation with another policy."""

    def __init__(self, situation: Situation, **changes: Any) -> None:
        self.policy = replace(situation.policy, **changes)
        self.children, self.restarts, self.dynamic = (
            situation.children,
            situation.restarts,
            situation.dynamic,
        )


def counts_a_group_restart_per_child(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    counts = [step for step in plan if isinstance(step, Count)]
    started = sum(isinstance(step, Start) and step.cause == "restart" for step in plan)
    return (*counts * max(0, started - 1), *plan)


def restarts_siblings_of_a_temporary(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    group = situation.policy.strategy != "one_for_one"
    if not (group and isinstance(event, Exited) and event.reason.abnormal):
        return plan
    if situation.children[event.id].spec.restart != "temporary":
        return plan
    kept = [
        child.spec.id for child in situation.children.values() if child.spec.restart != "temporary"
    ]
    return (
        *plan,
        *[Terminate(name) for name in reversed(kept)],
        *[Start(name, "restart") for name in kept],
    )


def forgets_the_reverse_order(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    forward = iter([step for step in plan if isinstance(step, Terminate)][::-1])
    return tuple(next(forward) if isinstance(step, Terminate) else step for step in plan)


def never_escalates(situation: Situation, event: Event) -> Plan:
    return restart.decide(With(situation, max_restarts=10**9), event)


def survives_one_restart_too_many(situation: Situation, event: Event) -> Plan:
    return restart.decide(With(situation, max_restarts=situation.policy.max_restarts + 1), event)


def gives_up_one_restart_too_early(situation: Situation, event: Event) -> Plan:
    return restart.decide(
        With(situation, max_restarts=max(0, situation.policy.max_restarts - 1)), event
    )


def has_no_window(situation: Situation, event: Event) -> Plan:
    return restart.decide(With(situation, max_seconds=10**6), event)


def restarts_a_transient_that_ended_normally(situation: Situation, event: Event) -> Plan:
    if isinstance(event, Exited) and situation.children[event.id].spec.restart == "transient":
        event = event._replace(reason=error("boom"))
    return restart.decide(situation, event)


def lets_a_permanent_end_normally(situation: Situation, event: Event) -> Plan:
    if isinstance(event, Exited) and event.reason == NORMAL:
        return (Report("exited", event.id, event.reason), Drop(event.id))
    return restart.decide(situation, event)


def takes_shutdown_for_abnormal(situation: Situation, event: Event) -> Plan:
    if isinstance(event, Exited) and event.reason == SHUTDOWN:
        event = event._replace(reason=error("shutdown"))
    return restart.decide(situation, event)


def keeps_a_temporary(situation: Situation, event: Event) -> Plan:
    return tuple(step for step in restart.decide(situation, event) if not isinstance(step, Drop))


def escalates_with_an_error(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    return tuple(Finish(error("boom")) if step == Finish(SHUTDOWN) else step for step in plan)


def leaves_its_children(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    if not isinstance(plan[-1] if plan else None, Finish):
        return plan
    return tuple(step for step in plan if not isinstance(step, Terminate))


def gives_up_after_a_failed_restart(situation: Situation, event: Event) -> Plan:
    return tuple(step for step in restart.decide(situation, event) if not isinstance(step, Again))


def does_not_count_retries(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    return tuple(
        step for step in plan if not (isinstance(event, Retried) and isinstance(step, Count))
    )


def does_not_count_normal_exits(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    normal = isinstance(event, Exited) and not event.reason.abnormal
    return tuple(step for step in plan if not (normal and isinstance(step, Count)))


def one_for_all_goes_on_from_the_failed(situation: Situation, event: Event) -> Plan:
    if isinstance(event, Retried) and situation.policy.strategy == "one_for_all":
        return restart.decide(With(situation, strategy="rest_for_one"), event)
    return restart.decide(situation, event)


def rest_for_one_restarts_all(situation: Situation, event: Event) -> Plan:
    if situation.policy.strategy == "rest_for_one":
        return restart.decide(With(situation, strategy="one_for_all"), event)
    return restart.decide(situation, event)


def one_for_all_leaves_the_earlier_alone(situation: Situation, event: Event) -> Plan:
    if situation.policy.strategy == "one_for_all":
        return restart.decide(With(situation, strategy="rest_for_one"), event)
    return restart.decide(situation, event)


def ignores_significance(situation: Situation, event: Event) -> Plan:
    return restart.decide(With(situation, auto_shutdown="never"), event)


def needs_only_one_of_all_significant(situation: Situation, event: Event) -> Plan:
    if situation.policy.auto_shutdown == "all_significant":
        return restart.decide(With(situation, auto_shutdown="any_significant"), event)
    return restart.decide(situation, event)


def starts_before_the_group_has_stopped(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    if isinstance(event, StartFailed) or not any(isinstance(step, Terminate) for step in plan):
        return plan
    return tuple(step for step in plan if not isinstance(step, Terminate)) if _group(plan) else plan


def _group(plan: Plan) -> bool:
    return any(isinstance(step, Start) for step in plan)


ZOO: list[Decide] = [
    counts_a_group_restart_per_child,
    restarts_siblings_of_a_temporary,
    forgets_the_reverse_order,
    never_escalates,
    survives_one_restart_too_many,
    gives_up_one_restart_too_early,
    has_no_window,
    restarts_a_transient_that_ended_normally,
    lets_a_permanent_end_normally,
    takes_shutdown_for_abnormal,
    keeps_a_temporary,
    escalates_with_an_error,
    leaves_its_children,
    gives_up_after_a_failed_restart,
    does_not_count_retries,
    does_not_count_normal_exits,
    one_for_all_goes_on_from_the_failed,
    rest_for_one_restarts_all,
    one_for_all_leaves_the_earlier_alone,
    ignores_significance,
    needs_only_one_of_all_significant,
    starts_before_the_group_has_stopped,
]
