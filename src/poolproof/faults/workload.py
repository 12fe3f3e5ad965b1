"""Faults that a job brings along: it ends its worker, or carries what cannot be carried."""

from collections.abc import Callable, Sequence

from poolproof.faults.base import Evidence, Fault, Scene, effect_seen, raised_in_job, register
from poolproof.history import Event
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity


def _process_gone(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    for job in scene.faulted:
        for runner in scene.runners(job):
            if not procfs.alive(runner):
                return f"process {runner.pid} (born {runner.born}), which had started job {job}, is gone from /proc"
    return None


def _answered_big(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    for event in scene.events:
        if (
            event.kind == "finished"
            and event.job in scene.faulted
            and event.data.get("size", 0) >= BIG_BYTES
        ):
            return f"job {event.job} returned {event.data['size']} bytes in process {event.pid}"
    return None


BIG_BYTES = 64 * 1024 * 1024


def _never_carried(what: str) -> Callable[[Sequence[Event]], str | None]:
    """Return what tells that a job ended in something that the pool, by its design, never pickles."""

    def moot(events: Sequence[Event]) -> str | None:
        ended = [
            event
            for event in events
            if event.error in ("UnpicklableError", "UnloadableError")
            or event.data.get("answer") in ("Unpicklable", "Unloadable")
        ]
        told = {event.job for event in events if event.op == "job" and event.kind in ("ok", "fail")}
        if ended and all(event.job in told for event in ended):
            return f"it carries no {what} from process to process: the job had one, and it was never pickled"
        return None

    return moot


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _job_fault(
    body: str, does: str, receipt: Evidence, *needs: str, kind: str | None = None
) -> None:
    register(
        Fault(
            kind=kind or body,
            does=does,
            moment="job",
            body=body,
            needs=("any-job", *needs),
            receipt=receipt,
        )
    )


_job_fault("exit", "os._exit in a job", _process_gone, "processes", kind="exit-in-job")
_job_fault(
    "sysexit",
    "sys.exit in a job",
    raised_in_job("SystemExit"),
    "threads-or-processes",
    kind="sysexit-in-job",
)
_job_fault(
    "interrupt",
    "KeyboardInterrupt in a job",
    raised_in_job("KeyboardInterrupt"),
    "threads-or-processes",
    kind="interrupt-in-job",
)
_job_fault(
    "fail", "an ordinary exception in a job", raised_in_job("ValueError"), kind="error-in-job"
)
for _what in ("argument", "result", "exception"):
    for _kind, _does, _effect in (
        ("unpicklable", "that cannot be pickled", "pickle"),
        ("unloadable", "that cannot be unpickled on the other side", "unpickle"),
    ):
        register(
            Fault(
                kind=f"{_what}-{_kind}",
                does=f"{_article(_what)} {_does}",
                moment="job",
                body=f"{_what}-{_kind}",
                needs=("any-job", "processes"),
                receipt=effect_seen(_effect),
                moot=_never_carried(_what),
            )
        )
_job_fault("big", "a result of 64 MiB", _answered_big, kind="big-result")
register(
    Fault(
        kind="callback-raises",
        does="a callback that raises",
        moment="job",
        body="callback",
        needs=("any-job", "callback"),
        receipt=effect_seen("callback"),
    )
)
