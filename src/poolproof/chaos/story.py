"""The smallest story of a violation: the few events of a trial that a stranger needs, a line each."""

from collections.abc import Iterator
from typing import Final

from poolproof.checkers import Trial
from poolproof.history import Event

MOST_LINES: Final = 14


def story(trial: Trial) -> tuple[str, ...]:
    """Return at most `MOST_LINES` lines: when, and what; times in seconds since the pool's start."""
    began = next((event.t for event in trial.events if event.op == "start"), trial.began)
    lines = [f"{(t - began) / 1e9:8.3f}  {text}" for t, text in _told(trial)]
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    keep = MOST_LINES // 2
    return (*lines[: keep - 1], f"          ... {len(lines) - MOST_LINES + 1} more events ...", *lines[-keep:])


def _told(trial: Trial) -> Iterator[tuple[int, str]]:
    told: list[tuple[int, str]] = []
    warm = {event.job for event in trial.events if event.role == "warmup"}
    for event in trial.events:
        if event.job not in warm and (text := _tell(event)) is not None:
            told.append((event.t, text))
    yield from told


def _tell(event: Event) -> str | None:
    job = f"job {event.job}"
    data = event.data
    texts = {
        ("invoke", "start"): "the pool is started",
        ("fail", "start"): f"start raised {event.error}: {event.message}",
        ("invoke", "submit"): f"submit {job} ({event.role}{_body(event)})",
        ("info", "submit"): f"submit of {job} raised {event.error}: {event.message}",
        ("ok", "job"): f"{job}: its caller gets {'the right answer' if data.get('match') else data.get('value')}",
        ("fail", "job"): f"{job}: its caller gets {event.error}: {(event.message or '')[:60]}",
        ("invoke", "cancel"): f"cancel {job}",
        ("invoke", "stop"): "shutdown is asked for",
        ("ok", "stop"): "shutdown is over",
        ("fail", "stop"): f"shutdown raised {event.error}: {event.message}",
        ("started", None): f"{job} starts in process {event.pid}",
        ("raised", None): f"{job} raises {event.error} in process {event.pid}",
        ("effect", None): f"{job}: {data.get('effect')} in process {event.pid}",
        ("inject", None): f"FAULT {data.get('kind')}{_victims(event)}",
        ("strike", None): f"FAULT process {event.pid}: {data.get('effect')} at {data.get('file')}:{data.get('line')}",
        ("receipt", None): f"      receipt: {data.get('evidence')}",
        ("judged", event.op): f"confirmed after {float(data.get('waited_ms', 0)) / 1000:.1f} s: {_stuck(event)}",
    }
    return texts.get((event.kind, event.op))


def _body(event: Event) -> str:
    body = event.data.get("body", "echo")
    return "" if body == "echo" else f", {body}"


def _victims(event: Event) -> str:
    victims = [str(victim["pid"]) for victim in event.data.get("victims", ())]
    return f" of process {', '.join(victims)}" if victims else ""


def _stuck(event: Event) -> str:
    pending = ", ".join(str(job) for job in event.data.get("pending", ()))
    if event.op == "stop":
        return "shutdown does not return"
    if event.op == "owner":
        return f"processes {', '.join(map(str, event.data.get('alive', ())))} outlive their owner"
    return f"nothing moves, and who asked for job {pending} still waits"
