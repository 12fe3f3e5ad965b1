"""The fault model: its 34 rows, by which mechanism each is done on each layer, and what does it here.

`poolproof faults` prints it. What is named in `by` exists: kinds of fault that `check` knows, scenarios, or objects.
"""

from dataclasses import dataclass
from typing import Final, Literal

Place = Literal["mock", "bridge_mock", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the fault model.

    Attributes:
        number: 1 to 34.
        fault: what breaks.
        mechanism: how, on Linux.
        mock, bridge_mock, full: what does it on that layer: kinds, `scenario NAME`, `module:object`;
            empty where it cannot be, or is not built: then `not_here` says why.
        privilege: what must be allowed or installed; nothing else is needed.
        not_here: what of the row is not available, and why.
    """

    number: int
    fault: str
    mechanism: str
    mock: tuple[str, ...] = ()
    bridge_mock: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    privilege: str = ""
    not_here: str = ""


_KILL: Final = "poolproof.transport.base:WorkerLink.kill"
_PROXY: Final = "poolproof.proxy:Proxy"
_SPOILING: Final = "poolproof.proxy:Spoiling"
_NETWORK: Final = "poolproof.simulation:Network"
_SCHEDULE: Final = "poolproof.simulation:Schedule"
_BUGGIFY: Final = "poolproof.simulation:buggify"
_NO_BYTES: Final = "no byte passes on the layer mock"

ROWS: Final = (
    Row(
        number=1,
        fault="crash",
        mechanism="SIGKILL by pidfd; the actor is dropped",
        mock=(_KILL, "scenario kill_60_percent"),
        bridge_mock=(_KILL, "scenario kill_60_percent"),
        full=("kill-idle", "kill-busy", "kill-60-percent", "kill-all", "kill-starting"),
    ),
    Row(
        number=2,
        fault="graceful end, wrong exit code, SEGV, ABRT",
        mechanism="signals by pidfd; os._exit and sys.exit in a job",
        mock=("scenario poison_job",),
        bridge_mock=("scenario poison_job",),
        full=(
            "term-idle",
            "term-busy",
            "segv-busy",
            "abort-busy",
            "exit-in-job",
            "sysexit-in-job",
            "interrupt-in-job",
        ),
    ),
    Row(
        number=3,
        fault="hang: the process stands still",
        mechanism="SIGSTOP, SIGCONT by pidfd; the actor waits",
        mock=("scenario slow_worker",),
        bridge_mock=("scenario slow_worker",),
        full=("freeze-idle", "freeze-busy", "freeze-shutdown"),
    ),
    Row(
        number=4,
        fault="the interpreter or the loop hangs, alive to the kernel",
        mechanism="a C call that keeps the interpreter's lock; a stalled loop",
        full=("gil-held-in-job", "loop-stall"),
        not_here="on a simulated loop no step takes time",
    ),
    Row(
        number=5,
        fault="slow processor",
        mechanism="sched_setaffinity to one core, a spinner beside; a job that takes longer",
        mock=("scenario slow_worker",),
        bridge_mock=("scenario slow_worker",),
        full=("one-core",),
    ),
    Row(
        number=6,
        fault="memory limit",
        mechanism="prlimit RLIMIT_AS, live; MemoryError in the job",
        mock=("scenario exhaust_memory_gradually",),
        bridge_mock=("scenario exhaust_memory_gradually",),
        full=("memory-limit-worker", "memory-limit-owner"),
    ),
    Row(
        number=7,
        fault="killed for want of memory",
        mechanism="oom_score_adj 1000 and SIGKILL; memory itself is never exhausted",
        mock=(_KILL,),
        bridge_mock=(_KILL,),
        full=("oom-kill-busy",),
    ),
    Row(
        number=8,
        fault="no file descriptor left",
        mechanism="prlimit RLIMIT_NOFILE, live",
        full=("fd-exhaustion-worker", "fd-exhaustion-owner"),
        not_here="workers in this process have no descriptors of their own",
    ),
    Row(
        number=9,
        fault="no new process",
        mechanism="prlimit RLIMIT_NPROC (not for root); strace --inject=fork:error=EAGAIN",
        bridge_mock=("poolproof.proxy:Proxy.refuse",),
        full=("spawn-failure", "fork-refused"),
        privilege="RLIMIT_NPROC binds no root; strace otherwise",
        not_here="an actor needs no process",
    ),
    Row(
        number=10,
        fault="disk full, file too large",
        mechanism="prlimit RLIMIT_FSIZE, live",
        full=("file-limit-worker",),
        not_here="a full tmpfs needs user namespaces, which many machines forbid",
    ),
    Row(
        number=11,
        fault="error, interruption, delay of system calls",
        mechanism="strace --inject on live processes, on their pipes and sockets only",
        full=("write-error-busy", "read-interrupted", "slow-io-busy"),
        privilege="strace, and ptrace of own children",
        not_here="on the other layers the calls would be those of the test itself",
    ),
    Row(
        number=12,
        fault="lost or torn write",
        mechanism="histories are read up to the last whole line, whatever the crash has cut off",
        mock=("poolproof.history:read",),
        bridge_mock=("poolproof.history:read",),
        full=("poolproof.history:read",),
        not_here="there is no layer below a foreign pool's files without privilege",
    ),
    Row(
        number=13,
        fault="wall clock jumps",
        mechanism="a loop in virtual time",
        mock=("poolproof.simulation:SimulationLoop",),
        bridge_mock=("poolproof.simulation:SimulationLoop",),
        not_here="no process can set the wall clock of another without privilege",
    ),
    Row(
        number=14,
        fault="another beginning of the monotonic clock",
        mechanism="start_ns of a simulation",
        mock=("poolproof.simulation:run",),
        bridge_mock=("poolproof.simulation:run",),
        not_here="time namespaces need user namespaces, which many machines forbid",
    ),
    Row(
        number=15,
        fault="timers late, or at once",
        mechanism="the order of a simulation",
        mock=(_SCHEDULE,),
        bridge_mock=(_SCHEDULE,),
        not_here="timers of other processes are not ours",
    ),
    Row(
        number=16,
        fault="connection refused, reset",
        mechanism="proxy: nobody listens; RST by SO_LINGER 0",
        bridge_mock=("poolproof.proxy:Proxy.refuse", "poolproof.proxy:Proxy.reset"),
        full=("poolproof.proxy:Proxy.refuse", "scenario broker_restart"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=17,
        fault="half-open, half-closed, forced end",
        mechanism="proxy",
        bridge_mock=("poolproof.proxy:Proxy.half_open", "poolproof.proxy:Proxy.half_close"),
        full=("poolproof.proxy:Proxy.half_open", "poolproof.proxy:Proxy.half_close"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=18,
        fault="blackhole; held, then released, per direction",
        mechanism="proxy: reads and throws away; does not write on, and stops reading",
        bridge_mock=("poolproof.proxy:Proxy.blackhole", "poolproof.proxy:Proxy.hold"),
        full=("poolproof.proxy:Proxy.hold", "scenario network_partition"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=19,
        fault="latency, jitter, bandwidth, slices, an end after so many bytes",
        mechanism="proxy; the network of a simulation",
        bridge_mock=("poolproof.proxy:Travel", _NETWORK, "scenario variable_network_delay"),
        full=("poolproof.proxy:Travel", "scenario variable_network_delay"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=20,
        fault="frames lost, doubled, reordered, corrupted",
        mechanism="proxy, on whole frames: TCP loses no bytes",
        bridge_mock=(_SPOILING, "scenario corrupt_messages"),
        full=(_SPOILING, "scenario corrupt_messages"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=21,
        fault="groups cut off, swizzle",
        mechanism="proxies between named parties",
        bridge_mock=("poolproof.proxy:Groups", "scenario network_partition"),
        full=("poolproof.proxy:Groups", "scenario network_partition"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=22,
        fault="request lost, reply lost, retry in flight",
        mechanism="proxy: drop on requests, drop on replies, cut on requests",
        bridge_mock=(_SPOILING,),
        full=(_SPOILING,),
        not_here=_NO_BYTES,
    ),
    Row(
        number=23,
        fault="duplicate, stale, reordered, late message",
        mechanism="proxy, or the bridge's tricks on one frame",
        bridge_mock=(
            "poolproof.transport.bridge:BridgeLink.misbehave",
            "scenario byzantine_worker",
        ),
        full=(_SPOILING, "scenario byzantine_worker"),
        not_here=_NO_BYTES,
    ),
    Row(
        number=24,
        fault="malformed, oversized, truncated frame, another version",
        mechanism="the bridge's tricks; the codec under Hypothesis",
        bridge_mock=("poolproof.transport.bridge:truncate", "poolproof.transport.bridge:replace"),
        full=("poolproof.transport.conformance:conformance_cases",),
        not_here=_NO_BYTES,
    ),
    Row(
        number=25,
        fault="a lying peer",
        mechanism="well-formed frames with another message",
        bridge_mock=("poolproof.transport.bridge:lie", "scenario byzantine_worker"),
        full=("scenario byzantine_worker",),
        not_here=_NO_BYTES,
    ),
    Row(
        number=26,
        fault="poison job",
        mechanism="job bodies: exit, raise, what cannot be pickled, 64 MiB",
        mock=("scenario poison_job",),
        bridge_mock=("scenario poison_job",),
        full=(
            "error-in-job",
            "argument-unpicklable",
            "argument-unloadable",
            "result-unpicklable",
            "result-unloadable",
            "exception-unpicklable",
            "exception-unloadable",
            "big-result",
            "callback-raises",
        ),
    ),
    Row(
        number=27,
        fault="slow consumer, fast producer",
        mechanism="more at once than can be served",
        mock=("scenario thundering_herd",),
        bridge_mock=("scenario thundering_herd",),
        full=("scenario thundering_herd", "cancel-storm", "cancel-at-handover"),
    ),
    Row(
        number=28,
        fault="the owner dies; orphans",
        mechanism="SIGKILL of the parent; subreapers see what is left",
        full=("owner-killed", "owner-killed-idle"),
        not_here="in one process the owner is the test",
    ),
    Row(
        number=29,
        fault="rolling replacement, resize, shutdown under load",
        mechanism="what the pool itself offers, while it works",
        mock=("scenario rolling_replacement",),
        bridge_mock=("scenario rolling_replacement",),
        full=("shutdown-busy", "scenario rolling_replacement"),
    ),
    Row(
        number=30,
        fault="a broker restarts",
        mechanism="proxy: all connections reset, new ones refused, then served again",
        bridge_mock=("scenario broker_restart",),
        full=("scenario broker_restart", _PROXY),
        not_here=_NO_BYTES,
    ),
    Row(
        number=31,
        fault="signal storm",
        mechanism="signals by pidfd",
        full=("term-twice-busy",),
        not_here="workers in this process get no signals",
    ),
    Row(
        number=32,
        fault="another order of steps",
        mechanism="the loop's order by a seed; statistical on processes, by repetition",
        mock=(_SCHEDULE,),
        bridge_mock=(_SCHEDULE,),
        full=("one-core",),
    ),
    Row(
        number=33,
        fault="chance: tokens, identities, seeds",
        mechanism="tokens by the seed of a simulation",
        mock=("poolproof.simulation:token",),
        bridge_mock=("poolproof.simulation:token",),
        not_here="a foreign pool's chance is not ours",
    ),
    Row(
        number=34,
        fault="points of failure in code",
        mechanism="buggify in one's own code; crash points at each line of a pool's",
        mock=(_BUGGIFY,),
        bridge_mock=(_BUGGIFY,),
        full=("poolproof.plan:Point",),
    ),
)
"""The fault model, in its order."""
