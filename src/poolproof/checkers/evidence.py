"""The story of a job or of a process in one sentence with its numbers, for a stranger to read."""

import os
import signal
from typing import Final

from poolproof.checkers.records import JobRecord, Process, buried, runner
from poolproof.checkers.trial import Trial
from poolproof.history import Event

NS: Final = 1_000_000_000
MAX_STARTS: Final = 3


def moment(trial: Trial, t: int) -> str:
    """Return the time `t` (nanoseconds) in seconds since the trial's first event."""
    return f"{(t - trial.began) / NS:.3f} s"


def story(trial: Trial, job: JobRecord) -> str:
    """Return the life of one job, from its submission to what its caller sees now."""
    parts = [_beginning(trial, job), _ending(trial, job)]
    parts += [_run(trial, job, start) for start in job.starts[:MAX_STARTS]]
    if len(job.starts) > MAX_STARTS:
        parts.append(f"started {len(job.starts)} times in all")
    if job.waiting and (judged := trial.judged(job)):
        parts.append(f"its caller was still waiting {lasted(trial, judged)}")
    return "; ".join(parts)


def lasted(trial: Trial, judged: Event) -> str:
    """Return how long a confirmed wait has lasted: `after 1.3 s`."""
    if judged.data.get("why") == "owner-gone":
        return f"when the owner's process was found dead at {moment(trial, judged.t)}"
    waited = judged.data.get("waited_ms")
    return f"at {moment(trial, judged.t)}" if waited is None else f"after {waited / 1000:.1f} s"


def _beginning(trial: Trial, job: JobRecord) -> str:
    name = f"job {job.number}"
    assert job.submit is not None
    if job.answer is None:
        return f"{name} submitted at {moment(trial, job.submit.t)}, and submit never returned"
    verb = "accepted" if job.accepted else f"refused with {job.answer.error}"
    return f"{name} {verb} at {moment(trial, job.answer.t)}"


def _ending(trial: Trial, job: JobRecord) -> str:
    if not job.outcomes:
        return "never resolved" if job.waiting else "nothing more was heard of it"
    return " and then ".join(f"{told(event)} at {moment(trial, event.t)}" for event in job.outcomes)


def told(outcome: Event) -> str:
    """Return what a caller was told, in words."""
    if outcome.kind == "fail":
        return f"failed with {outcome.error}"
    value = outcome.data.get("value", "a result")
    return f"answered {value}" if outcome.data.get("match") else f"answered {value}, which is wrong"


def _run(trial: Trial, job: JobRecord, start: Event) -> str:
    ended = end_of(job, start)
    who = "process" if start.pid == trial.owner else "worker"
    text = f"{who} {start.pid} started it at {moment(trial, start.t)}"
    if ended is not None:
        verb = "finished it" if ended.kind == "finished" else f"saw it raise {ended.error}"
        text += f" and {verb} at {moment(trial, ended.t)}"
    fate = fate_of(trial, runner(start))
    return f"{text} and {fate}" if fate else text


def end_of(job: JobRecord, start: Event) -> Event | None:
    """Return how the run that `start` began ended, by its process's word; None if it did not."""
    again = min((s.t for s in job.starts if s.pid == start.pid and s.t > start.t), default=None)
    ends = [e for e in (*job.finishes, *job.raises) if e.pid == start.pid and e.t >= start.t]
    first = min(ends, key=lambda event: event.t, default=None)
    return first if first is not None and (again is None or first.t <= again) else None


def fate_of(trial: Trial, process: Process) -> str | None:
    """Return what became of a process, as a clause that follows its name; None if not known."""
    for harm in trial.harms:
        if harm.process.is_(process):
            return f"{harm.does} at {moment(trial, harm.since)}"
    for death in trial.deaths:
        if buried(death).is_(process):
            return f"{_manner(death.data.get('status'))} at {moment(trial, death.t)}"
    return None


def _manner(status: int | None) -> str:
    if status is None:
        return "was gone"
    if os.WIFSIGNALED(status):
        return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with {os.waitstatus_to_exitcode(status)}"


def unconfirmed(trial: Trial) -> str:
    """Return why a wait that has not ended cannot be called endless."""
    if trial.judgement == "unjudged":
        detail = trial.of_kind("unjudged")[-1].message
        text = "time ran out before it could be confirmed that nothing moves any more"
        return f"{text} ({detail})" if detail else text
    if trial.judgement == "suspect":
        why = trial.suspicions[-1].began.data.get("why")
        return f"it was only suspected that nothing moves any more ({why})"
    return "the history holds no judgement of this wait"
