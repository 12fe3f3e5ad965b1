"""Faults that a job brings along: it ends its worker, or carries what cannot be carried."""

from poolproof.faults.base import Evidence, Fault, Scene, effect_seen, raised_in_job, register
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from collections.abc import Sequence


def _process_gone(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    for job in scene.faulted:
        runner = scene.runner(job)
        if runner is not None and not procfs.alive(runner):
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
    _job_fault(
        f"{_what}-unpicklable",
        f"an {_what} that cannot be pickled",
        effect_seen("pickle"),
        "processes",
    )
    _job_fault(
        f"{_what}-unloadable",
        f"an {_what} that cannot be unpickled on the other side",
        effect_seen("unpickle"),
        "processes",
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
