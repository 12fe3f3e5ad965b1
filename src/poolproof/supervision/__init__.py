"""Supervision trees that do what OTP does, on asyncio."""

from poolproof.supervision.actor import (
    ActorProcess,
    Behaviour,
    MailboxFullError,
    Traced,
    actor,
    spawn_actor,
)
from poolproof.supervision.answers import GoneError, NoAnswerError, RefusedError, StartError
from poolproof.supervision.control import replace_state, resume, state, suspend, trace
from poolproof.supervision.coroutine import Announcement, CoroutineProcess, coroutine, spawn
from poolproof.supervision.dynamic import (
    DynamicSupervisor,
    DynamicSupervisorSpec,
    start_dynamic_supervisor,
)
from poolproof.supervision.events import Offender, Sink, TreeEvent, history_sink
from poolproof.supervision.isolated import IsolatedSupervisor, start_isolated_supervisor
from poolproof.supervision.links import Down, Exit, Monitor, link, monitor, unlink
from poolproof.supervision.os_process import OsProcess, os_process
from poolproof.supervision.partition import (
    PartitionSupervisor,
    PartitionSupervisorSpec,
    start_partition_supervisor,
)
from poolproof.supervision.preflight import IntensityWarning, preflight, restarts_needed
from poolproof.supervision.process import Owner, Parent, Process, Starter
from poolproof.supervision.reasons import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    ExitReason,
    ExitWith,
    error,
    shutdown,
)
from poolproof.supervision.registry import (
    AlreadyRegisteredError,
    ForeignNameError,
    Name,
    Registry,
    Scope,
)
from poolproof.supervision.spec import Backoff, ChildSpec, Policy, Problem, SpecError
from poolproof.supervision.supervisor import (
    ChildInfo,
    Counts,
    Supervisor,
    SupervisorSpec,
    running,
    start_supervisor,
)
from poolproof.supervision.tasks import TaskEndedError, TaskHandle, TaskOutcome, TaskSupervisor

__all__ = [
    "KILL",
    "KILLED",
    "NOPROC",
    "NORMAL",
    "SHUTDOWN",
    "ActorProcess",
    "AlreadyRegisteredError",
    "Announcement",
    "Backoff",
    "Behaviour",
    "ChildInfo",
    "ChildSpec",
    "CoroutineProcess",
    "Counts",
    "Down",
    "DynamicSupervisor",
    "DynamicSupervisorSpec",
    "Exit",
    "ExitReason",
    "ExitWith",
    "ForeignNameError",
    "GoneError",
    "IntensityWarning",
    "IsolatedSupervisor",
    "MailboxFullError",
    "Monitor",
    "Name",
    "NoAnswerError",
    "Offender",
    "OsProcess",
    "Owner",
    "Parent",
    "PartitionSupervisor",
    "PartitionSupervisorSpec",
    "Policy",
    "Problem",
    "Process",
    "RefusedError",
    "Registry",
    "Scope",
    "Sink",
    "SpecError",
    "StartError",
    "Starter",
    "Supervisor",
    "SupervisorSpec",
    "TaskEndedError",
    "TaskHandle",
    "TaskOutcome",
    "TaskSupervisor",
    "Traced",
    "TreeEvent",
    "actor",
    "coroutine",
    "error",
    "history_sink",
    "link",
    "monitor",
    "os_process",
    "preflight",
    "replace_state",
    "restarts_needed",
    "resume",
    "running",
    "shutdown",
    "spawn",
    "spawn_actor",
    "start_dynamic_supervisor",
    "start_isolated_supervisor",
    "start_partition_supervisor",
    "start_supervisor",
    "state",
    "suspend",
    "trace",
    "unlink",
]
