"""Whether a trial proves anything: each fault needs a receipt, and something must be asked for."""

from poolproof.checkers.records import FaultRecord, buried, runner
from poolproof.checkers.trial import Trial
from poolproof.history import Event


def unproven(trial: Trial) -> str | None:
    """Return why nothing that this trial shows can count, or None if it can."""
    return _nothing_asked(trial) or no_receipt(trial)


def no_receipt(trial: Trial) -> str | None:
    """Return which fault, or crash point, nobody but its injector saw; None if each was seen."""
    if trial.plan.null and not trial.faults and trial.plan.point is None:
        return "no receipt: in this run every fault is replaced by nothing"
    for fault in trial.faults:
        if not any(_after_inject(fault, receipt) for receipt in fault.receipts):
            return f"no receipt that {fault.kind} took effect"
    return _point_unproven(trial) if trial.plan.point else None


def _nothing_asked(trial: Trial) -> str | None:
    if trial.submitted:
        return None
    asked, told = trial.start
    if asked and told is None:
        return "no job was submitted: the start of the pool never returned"
    if told is not None and told.kind != "ok":
        return f"no job was submitted: the start of the pool raised {told.error}"
    return "no job was submitted"


def _after_inject(fault: FaultRecord, receipt: Event) -> bool:
    return fault.injected_at is None or receipt.t >= fault.injected_at


def _point_unproven(trial: Trial) -> str | None:
    point = trial.plan.point
    assert point is not None
    where = f"{point.file}:{point.line}"
    if not trial.strikes:
        return f"no receipt: no worker came to {where}"
    if not any(_seen(trial, strike, deadly=point.effect == "kill") for strike in trial.strikes):
        return (
            f"no receipt from another witness that a worker's {point.effect} at {where} took effect"
        )
    return None


def _seen(trial: Trial, strike: Event, *, deadly: bool) -> bool:
    if any(
        receipt.t >= strike.t
        for receipt in trial.of_kind("receipt")
        if not deadly or receipt.pid != strike.pid
    ):
        return True
    return deadly and any(
        death.t >= strike.t and buried(death).is_(runner(strike)) for death in trial.deaths
    )
