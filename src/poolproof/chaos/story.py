"""The smallest story of a violation: the few events of a trial that a stranger needs, a line each."""

from collections.abc import Iterator
from typing import Any, Final

from poolproof.checkers import Trial
from poolproof.checkers.records import JobRecord
from poolproof.history import Event

MOST_LINES: Final = 14
LONGEST_LINE: Final = 140


def story(trial: Trial) -> tuple[str, ...]:
    """Return at most `MOST_LINES` lines: when, and what; times in seconds since the pool's start."""
    began = next((event.t for event in trial.events if event.op == "start"), trial.began)
    lines = [f"{(t - began) / 1e9:8.3f}  {text}" for t, text in _told(trial)]
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    keep = MOST_LINES // 2
    return (
        *lines[: keep - 1],
        f"          ... {len(lines) - MOST_LINES + 1} more events ...",
        *lines[-keep:],
    )


def _told(trial: Trial) -> Iterator[tuple[int, str]]:
    """Yield what was told; jobs before the fault, and jobs that simply got their answer, are only counted."""
    warm = {event.job for event in trial.events if event.role == "warmup"}
    plain = {job.number for job in trial.submitted if _went_well(job)} - warm
    for event in trial.events:
        if event.job in warm or event.job in plain:
            continue
        if event.op == "stop" and event.kind == "invoke" and plain:
            yield event.t, f"{len(plain)} other job{'s' * (len(plain) > 1)} got the right answer"
        if (text := _tell(event)) is not None:
            yield event.t, _one_line(text)


def _went_well(job: JobRecord) -> bool:
    ended = [event for event in job.outcomes if event.kind == "ok" and event.data.get("match")]
    return len(ended) == len(job.outcomes) == len(job.starts) == 1 and job.cancel is None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "..."


def _tell(event: Event) -> str | None:
    job, data = f"job {event.job}", event.data
    error = f"{event.error}: {event.message}" if event.message else str(event.error)
    answer = "the right answer" if data.get("match") else f"a wrong answer, {data.get('value')}"
    seconds = float(data.get("waited_ms", 0)) / 1000
    texts = {
        ("invoke", "start"): "the pool is started",
        ("fail", "start"): f"start raised {error}",
        ("invoke", "submit"): f"submit {job} ({event.role}{_body(event)})",
        ("info", "submit"): f"submit of {job} raised {error}",
        ("ok", "job"): f"{job}: its caller gets {answer}",
        ("fail", "job"): f"{job}: its caller gets {error}",
        ("invoke", "cancel"): f"cancel {job}",
        ("invoke", "stop"): "shutdown is asked for",
        ("ok", "stop"): "shutdown is over",
        ("fail", "stop"): f"shutdown raised {error}",
        ("started", None): f"{job} starts in process {event.pid}",
        ("raised", None): f"{job} raises {event.error} in process {event.pid}",
        ("effect", None): f"{_who(event)}: {data.get('effect')} in process {event.pid}",
        ("inject", None): f"FAULT {data.get('kind')}{_victims(event)}",
        ("strike", None): f"FAULT process {event.pid}: {data.get('effect')} at {_place(data)}",
        ("receipt", None): f"      receipt: {data.get('evidence')}",
        ("judged", event.op): f"confirmed after {seconds:.1f} s: {_stuck(event)}",
    }
    return texts.get((event.kind, event.op))


def _place(data: dict[str, Any]) -> str:
    return f"{'/'.join(str(data.get('file')).split('/')[-2:])}:{data.get('line')}"


def _who(event: Event) -> str:
    return "the owner" if event.job is None else f"job {event.job}"


def _body(event: Event) -> str:
    body = event.data.get("body", "echo")
    return "" if body == "echo" else f", {body}"


def _victims(event: Event) -> str:
    victims = [str(victim["pid"]) for victim in event.data.get("victims", ())]
    return f" of process {', '.join(victims)}" if victims else ""


def _stuck(event: Event) -> str:
    if event.op in ("start", "stop"):
        return f"{'shutdown' if event.op == 'stop' else 'start'} does not return"
    if event.op == "owner":
        return f"processes {', '.join(map(str, event.data.get('alive', ())))} outlive their owner"
    pending = event.data.get("pending", ())
    named = f"job{'s' * (len(pending) > 1)} {', '.join(map(str, pending))}"
    return f"nothing moves, and who asked for {named} still waits"
