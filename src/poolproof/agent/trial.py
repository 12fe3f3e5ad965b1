"""The owner of the pool in one trial: it builds the pool, obeys the controller, and journals what its callers see."""

import gc
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, cast

from poolproof.adapters.base import Adapter
from poolproof.agent import auditing, containment, coverage_lock, journal, points, target, work
from poolproof.agent.answers import equal, shown

if TYPE_CHECKING:
    from poolproof.adapters.asyncio import AsyncioPool
    from poolproof.agent.generator import Generator

_SHM = "/dev/shm/"
TRIAL_VARIABLE = "POOLPROOF_TRIAL"
AGAIN_SECONDS = 1.0
STALL_SECONDS = 0.05


def bury(directory: str, owner: int) -> None:
    """Reap, as the trial's root, whatever ends up here, and journal it; return when nothing is left."""
    journal.open_at(f"{directory}/history.jsonl")
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, 0)
            journal.write("death", data={"child": pid, "status": status, "orphan": pid != owner})


def main(directory: str, request: dict[str, Any], factory: target.Factory) -> NoReturn:
    """Run one trial to the end of its commands; never return."""
    _settle_in(directory)
    try:
        Owner(directory, request, factory).run()
    except BaseException as error:  # noqa: BLE001 - whatever the target lets loose on its owner is evidence
        journal.write(
            "note",
            error=type(error).__name__,
            message=f"the owner's main thread ended: {error}"[:500],
        )
        os._exit(1)
    os._exit(0)


def _settle_in(directory: str) -> None:
    coverage_lock.free_in_children()
    os.environ[TRIAL_VARIABLE] = directory
    os.environ["TMPDIR"] = f"{directory}/tmp"
    tempfile.tempdir = None
    with open(f"{directory}/output.log", "ab") as log, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    journal.open_at(f"{directory}/history.jsonl")


_NO_JOB = -1


class Callers:
    """Threads that each wait for one job at a time, as the pool's users would; as many as there are open jobs."""

    def __init__(self, wait: Callable[[int], None]) -> None:
        self._wait = wait
        self._jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._free = 0
        self._made = 0
        self._lock = threading.Lock()

    def put(self, job: int) -> None:
        """Have a caller wait for this job, at once."""
        with self._lock:
            self._free -= 1
            missing = self._free < 0
        if missing:
            self.reserve(1)
        self._jobs.put(job)

    def reserve(self, count: int) -> None:
        """Have so many more callers ready: once memory is short, no thread can be started."""
        for _ in range(count):
            with self._lock:
                self._free += 1
                self._made += 1
            threading.Thread(target=self._run, name="poolproof-caller", daemon=True).start()

    def dismiss(self) -> None:
        """Let each caller go once it waits for nothing: for who plays an owner in a process that goes on."""
        for _ in range(self._made):
            self._jobs.put(_NO_JOB)

    def _run(self) -> None:
        while (job := self._jobs.get()) != _NO_JOB:
            self._wait(job)
            with self._lock:
                self._free += 1


class Owner:
    """The pool under trial, its jobs' handles, and one thread for each caller who waits."""

    adapter: Adapter
    declared: target.Declared
    generator: "Generator"

    def __init__(self, directory: str, request: dict[str, Any], factory: target.Factory) -> None:
        self.directory = directory
        self.request = request
        self.factory = factory
        self.handles: dict[int, Any] = {}
        self.specs: dict[int, work.Spec] = {}
        self.outcomes: dict[int, tuple[str, str]] = {}
        self.before = set(sys.modules)
        self.kept: list[int] = []
        self.shm_before: set[str] | None = None
        self.shm_mapped: set[str] = set()
        self.callers = Callers(self._wait)
        self.commands = os.open(f"{directory}/commands", os.O_RDONLY | os.O_CLOEXEC)
        self.lines = open(self.commands, "rb", closefd=False)  # noqa: SIM115 - for as long as the process lives
        self.verbs: dict[str, Callable[..., None]] = {
            "submit": self.submit,
            "cancel": self.cancel,
            "load": self.load,
            "unload": self.unload,
            "handover": self.handover,
            "probe": self.probe,
            "release": self.release,
            "reserve": self.callers.reserve,
            "sample": self.sample,
        }

    def run(self) -> None:
        """Obey commands until told to leave, or until the controller is gone; each `start` is a life of the pool."""
        points.arm_owner(self.directory)
        if not os.path.exists(
            f"{self.directory}/points.json"
        ):  # an audit hook costs time, and a sweep has none to spare
            _watch_shared_memory(self.directory)
        while (command := self._next())["do"] != "exit":
            if command["do"] == "start":
                self.live()
            else:
                self._obey(command)

    def _next(self) -> dict[str, Any]:
        line = self.lines.readline()
        return json.loads(line) if line else {"do": "exit"}

    def _obey(self, command: dict[str, Any]) -> None:
        verb = command.pop("do")
        if verb in self.verbs:
            self.verbs[verb](**command)
        else:  # a `stop` that comes when the pool is gone already
            journal.write("note", message=f"there is no pool to {verb}")

    def live(self) -> None:
        """Build the pool where it must live, use it until told to stop it, and journal how that began and ended."""
        self.handles.clear()
        self.outcomes.clear()
        began = threading.Event()
        ended: list[dict[str, Any]] = []

        def script(adapter: Adapter, pool: object) -> None:
            self.adapter = adapter
            self.declared = target.declared(self.factory, pool)
            adapter.start()
            journal.write(
                "ok", op="start", data=self._describe(pool) if self.request["describe"] else {}
            )
            began.set()
            while (command := self._next())["do"] not in ("stop", "exit"):
                self._obey(command)
            if command["do"] == "stop":
                ended.append(self._stop())

        journal.write("invoke", op="start")
        try:
            target.host(
                self.factory, self.request["workers"], script, adapter=self.request["adapter"]
            )
        except BaseException as error:  # noqa: BLE001 - a target may raise anything
            fields = {"error": type(error).__name__, "message": str(error)[:2000]}
            journal.write("fail", op="stop" if began.is_set() else "start", **fields)
        else:
            outcome = ended[0] if ended else {"kind": "ok"}
            del self.adapter, self.declared
            self.handles.clear()
            journal.write(outcome.pop("kind"), op="stop", **outcome)

    def _describe(self, pool: object) -> dict[str, Any]:
        own = self.request["own"] or points.infer_own(pool)
        try:
            own_paths = points.own_paths(own)
        except ValueError as error:
            raise target.TargetProblem(f"{error}; --own takes such modules") from error
        return {
            "adapter": self.adapter.name,
            "style": self.adapter.job_style,
            "offers": sorted(self.adapter.offers),
            "own": list(own),
            "own_paths": own_paths,
            "modules": sorted(set(sys.modules) - self.before),
            "jobs": len(self.declared.jobs),
            "promises": dict(self.declared.promises),
            "contract": dict(self.declared.contract),
        }

    def _stop(self) -> dict[str, Any]:
        """Ask every caller's handle once more, then shut the pool down as its users would."""
        self._ask_again()
        if self.shm_before is not None and os.path.isdir("/dev/shm"):
            self.shm_mapped |= _mapped(
                set(os.listdir("/dev/shm")) - self.shm_before, elsewhere=False
            )
        journal.write("invoke", op="stop")
        try:
            self.adapter.stop()
        except BaseException as error:  # noqa: BLE001 - a target may raise anything
            return {"kind": "fail", "error": type(error).__name__, "message": str(error)[:500]}
        return {"kind": "ok"}

    def submit(self, jobs: list[dict[str, Any]]) -> None:
        """Hand jobs over to the pool; each accepted one gets a thread of its own that waits for it."""
        for spec in jobs:
            self._submit({**spec, "journal": f"{self.directory}/history.jsonl"})

    def _submit(self, spec: work.Spec) -> None:
        number = spec["job"]
        self.specs[number] = spec
        journal.write(
            "invoke", op="submit", job=number, role=spec.pop("role"), data={"body": spec["body"]}
        )
        try:
            handle = self._hand_over(spec)
        except BaseException as error:  # noqa: BLE001 - a target may raise anything
            journal.write(
                "info",
                op="submit",
                job=number,
                error=type(error).__name__,
                message=str(error)[:500],
            )
            return
        self.handles[number] = handle
        journal.write("ok", op="submit", job=number)
        self.callers.put(number)

    def _hand_over(self, spec: work.Spec) -> Any:
        if spec["body"] == "own":
            return self.adapter.submit(*self._own_job(spec).arguments)
        function = work.run_coroutine if spec.get("style") == "coroutine" else work.run
        if spec["body"] == "callback":

            def callback(_outcome: object) -> NoReturn:
                work.witness(spec, "callback")
                raise RuntimeError(f"job {spec['job']}: its callback raises, on purpose")

            return self.adapter.submit_with_callback(callback, function, {**spec, "body": "echo"})
        if make := work.ARGUMENTS.get(spec["body"]):
            return self.adapter.submit(function, spec, make(spec))
        return self.adapter.submit(function, spec)

    def _own_job(self, spec: work.Spec) -> target.OwnJob:
        number: int = spec["job"]
        return self.declared.jobs[number % len(self.declared.jobs)]

    def _wait(self, number: int) -> None:
        kind, fields = self._outcome(number)
        self.outcomes[number] = (kind, fields.get("error") or str(fields["data"]["match"]))
        journal.write(kind, op="job", job=number, **fields)

    def _outcome(self, number: int) -> tuple[str, dict[str, Any]]:
        try:
            answer = self.adapter.wait(self.handles[number])
        except BaseException as error:  # noqa: BLE001 - a job may end in anything
            return "fail", {"error": type(error).__name__, "message": str(error)[:500]}
        return "ok", {"data": {"match": self._matches(number, answer), "value": shown(answer)}}

    def _matches(self, number: int, answer: object) -> bool:
        spec = self.specs[number]
        if spec["body"] == "own":
            return equal(answer, self._own_job(spec).expected)
        return work.matches(spec, answer)

    def cancel(self, jobs: list[int]) -> None:
        """Ask the pool to cancel these jobs."""
        for number in jobs:
            if number not in self.handles:
                continue
            journal.write("invoke", op="cancel", job=number)
            try:
                cancelled = bool(self.adapter.cancel(self.handles[number]))
            except BaseException as error:  # noqa: BLE001 - a target may raise anything
                journal.write(
                    "fail",
                    op="cancel",
                    job=number,
                    error=type(error).__name__,
                    message=str(error)[:500],
                )
            else:
                journal.write("ok", op="cancel", job=number, data={"cancelled": cancelled})

    def load(self, **command: Any) -> None:
        """Begin a load on the pool; see `loading.begin`."""
        from poolproof.agent import loading  # noqa: PLC0415 - no other trial needs it

        try:
            self.generator = loading.begin(
                command, self.adapter, command["style"], self.declared.jobs, equal
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked must hear of it
            journal.write("fail", op="load", error=type(error).__name__, message=str(error)[:2000])

    def unload(self) -> None:
        """Begin no more of the load's operations, and wait for none."""
        self.generator.stopped = True

    def handover(self, gate: str, job: int, turns: int | None) -> None:
        """Let a running job end, and cancel a waiting one `turns` turns later, or in the same turn after a stall."""
        loop = cast("AsyncioPool", self.adapter)
        if (
            handle := self.handles.get(job)
        ) is None:  # its submit raised: there is nothing to cancel
            loop.on_loop(lambda: work.open_loop_gate(gate)).result()
            return
        journal.write("invoke", op="cancel", job=job)
        if turns is None:
            began = time.monotonic()
            opened, cancelled = loop.stall(
                STALL_SECONDS,
                lambda: (
                    loop.on_loop(lambda: work.open_loop_gate(gate)),
                    loop.on_loop(handle.task.cancel),
                ),
            )
            opened.result()
            stood_ms = (time.monotonic() - began) * 1000
            journal.write("effect", job=job, data={"effect": "stalled", "ms": stood_ms})
            answer = bool(cancelled.result())
        else:
            answer = loop.cancel_after_turns(handle, turns, lambda: work.open_loop_gate(gate))
            journal.write("effect", job=job, data={"effect": "cancelled-at-turn", "turns": turns})
        journal.write("ok", op="cancel", job=job, data={"cancelled": answer})

    def probe(self, size: int, files: int) -> None:
        """Try what a limit should forbid, as any code of the owner might, and journal the refusal.

        What the limit still left is kept, until `release`, so that nothing is left for anybody.
        """
        try:
            bytearray(size)
            for _ in range(files):
                self.kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except (MemoryError, OSError) as error:
            refusal = {"error": type(error).__name__, "message": str(error)[:200]}
            journal.write("effect", data={"effect": "refused"}, **refusal)

    def release(self) -> None:
        """Give back what `probe` kept."""
        while self.kept:
            os.close(self.kept.pop())

    def sample(self, label: str) -> None:
        """Journal what this process holds when garbage is gone, and what has been started below it."""
        gc.collect()
        journal.write("sample", data={"label": label, **self._holdings()})

    def _shared_memory(self) -> list[str]:
        """Return the names in /dev/shm that may be charged to this trial.

        The directory is the whole machine's. In a trial that runs alone, what is new and used by no process outside of
        it counts; beside others, only what its own processes were seen to make or to map.
        """
        names = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set[str]()
        if self.shm_before is None:
            self.shm_before = names
        new = names - self.shm_before
        if not self.request["alone"]:
            new &= self.shm_mapped | _made(self.directory)
        elif new:
            new -= _mapped(new, elsewhere=True)
        return sorted(new | (names & self.shm_before))

    def _holdings(self) -> dict[str, Any]:
        return {
            "fds": _descriptors({self.commands, journal.descriptor()}),
            "threads": sorted(
                t.name
                for t in threading.enumerate()
                if not t.name.startswith(("poolproof", "Main"))
            ),
            "processes": _processes(),
            "shm": self._shared_memory(),
            "files": sorted(
                os.path.join(where, name)
                for where, _, names in os.walk(f"{self.directory}/tmp")
                for name in names
            ),
        }

    def _ask_again(self) -> None:
        """Journal the outcomes that are others now; those of a pool that does not answer in time are let be."""
        first, changed = dict(self.outcomes), list[tuple[int, str, dict[str, Any]]]()

        def ask() -> None:
            for number, told in first.items():
                kind, fields = self._outcome(number)
                if (kind, fields.get("error") or str(fields["data"]["match"])) != told:
                    changed.append((number, kind, fields))

        asking = threading.Thread(target=ask, name="poolproof-again", daemon=True)
        asking.start()
        asking.join(AGAIN_SECONDS)
        for number, kind, fields in [] if asking.is_alive() else changed:
            journal.write(kind, op="job", job=number, **fields)


def _descriptors(own: set[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if int(name) not in own:
                where = os.readlink(f"/proc/self/fd/{name}")
                kind = where.partition(":[")[0]
                found[kind] = found.get(kind, 0) + 1
    return found


def _watch_shared_memory(directory: str) -> None:
    """Have this process, and those forked from it, note in a file what they make in /dev/shm."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        path = _made_by(event, arguments)
        # The trial may live there itself: what it makes, this note included, is not the target's.
        if path.startswith(_SHM) and not path.startswith(directory):
            with suppress(OSError):  # what is raised here would be raised into the target
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                note = os.open(f"{directory}/shm", flags, 0o600)
                os.write(note, f"{path.removeprefix(_SHM)}\n".encode())
                os.close(note)

    auditing.add_hook(hook)


def _made_by(event: str, arguments: tuple[Any, ...]) -> str:
    """Return which file an audit event may have made; what shm_open has made is seen when it is given its size."""
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & os.O_CREAT:
        return arguments[0]
    if event == "os.truncate" and isinstance(arguments[0], int):
        with suppress(OSError):
            return os.readlink(f"/proc/self/fd/{arguments[0]}")
    return ""


def _made(directory: str) -> set[str]:
    with suppress(OSError), open(f"{directory}/shm", encoding="utf-8") as file:
        return set(file.read().splitlines())
    return set()


def _mapped(names: set[str], *, elsewhere: bool) -> set[str]:
    """Return which of these shared memory segments are mapped by a process of this trial, or by one of none of ours."""
    inside = {os.getpid(), os.getppid(), *containment.descendants(os.getppid())}
    found: set[str] = set()
    for pid in os.listdir("/proc"):
        if pid.isdigit() and (int(pid) not in inside) is elsewhere:
            with (
                suppress(OSError),
                open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file,
            ):
                maps = file.read()
                found |= {name for name in names if f"/dev/shm/{name}" in maps}
    return found


def _processes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for pid in containment.descendants(os.getppid()):
        with suppress(OSError):
            if pid != os.getpid():
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace")
                if line:  # a zombie has none, and is waited for by its own parent
                    found.append({"pid": pid, "born": journal.born(pid), "cmdline": line[:200]})
    return found
