"""The isolated, uniquely named process tree that a target runs in, as its controller outside holds it."""

import asyncio
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

import poolproof
from poolproof import history
from poolproof.agent.containment import is_tracker
from poolproof.errors import PoolproofError, TargetError
from poolproof.isolation import leases, logs
from poolproof.isolation.containment import send_signal
from poolproof.isolation.leases import RUN_VARIABLE
from poolproof.plan import Target
from poolproof.watch import procfs

PACKAGE: Final = Path(poolproof.__file__).parent
END_SECONDS: Final = 10.0
END_ROUNDS: Final = 5000
"""A millisecond each, at least: on a crowded machine a tracker may need seconds to remove what the dead have left."""
IMPORT_SECONDS: Final = 10.0
"""The least that the import of a target may take, whatever its jobs may."""
ASK_SECONDS: Final = 60.0
MOST_FOREIGN_BYTES: Final = 1 << 24
"""How much that is no event a target may write into a trial's history."""


class HostLostError(PoolproofError):
    """The host ended while it was still needed; what it was doing may or may not have happened."""


class Host:
    """A keeper, a zygote that has imported the target, and any number of trials forked from it.

    Use as an async context manager; on leaving, every process that it started, directly or not, is ended.
    """

    def __init__(self, target: Target, *, run: str, directory: Path) -> None:
        self.target = target
        self.run = run
        self.directory = directory
        self.threads = 1
        self.version = ""
        self._copies = 0
        self._log = directory / "host.log"
        self._trials: list[Trial] = []

    async def __aenter__(self) -> Self:
        theirs, self._control = socket.socketpair()
        lifeline, self._life = os.pipe2(os.O_CLOEXEC)
        command = [
            self.target.python,
            "-m",
            "poolproof.agent.keeper",
            str(lifeline),
            str(theirs.fileno()),
        ]
        with theirs, self._log.open("ab") as log:
            try:
                self._keeper = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment(),
                    cwd=self.target.cwd,
                    pass_fds=(lifeline, theirs.fileno()),
                )
            except OSError as error:
                os.close(self._life)
                self._control.close()
                raise TargetError(
                    f"expected a Python interpreter at {self.target.python} and a directory"
                    f" {self.target.cwd}, got {error}; check the target anew from where it is now"
                ) from error
            finally:
                os.close(lifeline)
        self.identity = procfs.identity(self._keeper.pid)
        self._control.setblocking(False)  # noqa: FBT003 - it takes no other
        self._turn = asyncio.Lock()
        self._asked = 0
        self._bounding = asyncio.create_task(logs.keep_small(self._logs))
        try:
            self._reader, self._writer = await asyncio.open_connection(sock=self._control)
            await self._greet()
            await self._prepare()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _environment(self) -> dict[str, str]:
        link = self.directory / "import"
        link.mkdir(exist_ok=True)
        with suppress(FileExistsError):
            (link / "poolproof").symlink_to(PACKAGE)
        inherited = os.environ.get("PYTHONPATH", "")
        path = [
            str(PACKAGE / "agent" / "site"),
            str(link),
            self.target.cwd,
            *filter(None, [inherited]),
        ]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path), RUN_VARIABLE: self.run}

    async def _greet(self) -> None:
        """Make sure that there is an interpreter that can run what poolproof brings."""
        try:
            self.version = (await self._ask(do="greet"))["version"]
        except (HostLostError, TimeoutError) as error:
            raise TargetError(
                f"expected a Python interpreter, 3.11 or later, at {self.target.python}, got {error};"
                " --python PATH names another"
            ) from error

    async def _prepare(self) -> None:
        seconds = max(self.target.deadline, IMPORT_SECONDS)
        try:
            reply = await self._ask(
                seconds, do="prepare", name=self.target.name, cwd=self.target.cwd
            )
        except TimeoutError:
            raise TargetError(
                f"expected {self.target.name} to be imported within {seconds:g} s, got no answer;"
                " give a longer --deadline if it is only slow"
            ) from None
        except HostLostError as error:
            raise TargetError(
                f"expected {self.target.name} to be importable, got {error}"
            ) from error
        self.threads = reply["threads"]

    async def _last_words(self) -> str:
        """Return how the keeper, which ends as its zygote did, has ended, and the last line that was printed."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._keeper.wait, END_SECONDS)
        code = self._keeper.returncode
        log = self._log.read_text(errors="replace").strip()
        said = f"its last words: {log.splitlines()[-1][:200]}" if log else "it said nothing"
        return f"an interpreter that ended with exit code {code}; {said}"

    async def _ask(self, seconds: float = ASK_SECONDS, /, **request: Any) -> dict[str, Any]:
        reply: dict[str, Any] = {}
        foreign = None
        async with self._turn, asyncio.timeout(seconds):
            self._asked += 1
            self._writer.write(msgspec.json.encode({**request, "asked": self._asked}) + b"\n")
            try:
                while line := await self._reader.readline():
                    reply = msgspec.json.decode(line, type=dict[str, Any])
                    if reply.get("asked") == self._asked:  # not to one that was cancelled meanwhile
                        break
            except ConnectionError:
                pass  # as at its end
            except (ValueError, msgspec.DecodeError) as error:
                foreign = error
        if foreign is not None:
            raise TargetError(
                f"expected {self.target.name} to write only into files that it has opened itself,"
                " got its output where poolproof's own answers come from"
            ) from foreign
        if not reply:
            raise HostLostError(await self._last_words())
        if "problem" in reply:
            raise TargetError(reply["problem"])
        return reply

    def _logs(self) -> list[Path]:
        """Return the files into which the host's processes may print now."""
        self._trials = [trial for trial in self._trials if not trial.ended]
        return [self._log, *(trial.output for trial in self._trials)]

    def another(self) -> "Host":
        """Return a second host of the same target, not started yet."""
        self._copies += 1
        directory = self.directory / f"copy{self._copies}"
        directory.mkdir()
        return Host(self.target, run=self.run, directory=directory)

    async def preload(self, modules: list[str]) -> None:
        """Import these modules before the next fork, for speed; those that fail are passed over."""
        self.threads = (await self._ask(do="preload", modules=modules))["threads"]

    async def fork(
        self, directory: Path, *, describe: bool = False, alone: bool = False
    ) -> "Trial":
        """Start one trial in `directory`, which becomes its private place; return the controller's hold on it.

        Args:
            directory: does not exist yet, or is empty.
            describe: whether the owner tells what the pool is.
            alone: whether no other trial of this run runs beside it.
        """
        trial = Trial(directory)
        trial.lay_out()
        try:
            reply = await self._ask(
                do="fork",
                trial=str(directory),
                adapter=self.target.adapter,
                workers=self.target.workers,
                own=self.target.own,
                describe=describe,
                alone=alone and not leases.others(self.run),
            )
        except BaseException:
            trial.let_go()
            raise
        trial.root = reply["root"]
        self._trials.append(trial)
        return trial

    async def close(self) -> None:
        """End every process of this host, whatever state it is in."""
        self._bounding.cancel()
        # Cancelled before it was connected, it has no writer yet.
        getattr(self, "_writer", self._control).close()
        with suppress(OSError):
            os.close(
                self._life
            )  # the keeper sees the end of its lifeline, and ends all that is below it
        try:
            await asyncio.to_thread(self._keeper.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()


class Trial:
    """The controller's hold on one running trial: its commands, its gates, its history and its processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = 0
        self.events: list[history.Event] = []
        self.ended = False
        self._foreign_bytes = 0
        self._partial = b""
        self._unsent = b""
        self._gates: dict[str, int] = {}

    @property
    def journal(self) -> Path:
        """Return where the history is kept."""
        return self.directory / "history.jsonl"

    @property
    def output(self) -> Path:
        """Return where the trial's processes print to."""
        return self.directory / "output.log"

    def lay_out(self) -> None:
        """Make the files and pipes that the trial's processes expect."""
        (self.directory / "tmp").mkdir(parents=True)
        (self.directory / "gates").mkdir()
        os.mkfifo(self.directory / "commands")
        self._commands = os.open(
            self.directory / "commands", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        )
        self._append = os.open(
            self.journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._tail = os.open(self.journal, os.O_RDONLY | os.O_CLOEXEC)

    def command(self, do: str, **arguments: Any) -> None:
        """Tell the owner what to do next; it obeys in order. Never blocks: an owner that hangs reads nothing."""
        self._unsent += msgspec.json.encode({"do": do, **arguments}) + b"\n"
        self._send()

    def _send(self) -> None:
        with suppress(BlockingIOError):
            while self._unsent:
                sent = os.write(self._commands, self._unsent[: select.PIPE_BUF])
                self._unsent = self._unsent[sent:]

    def write(self, kind: str, **fields: Any) -> None:
        """Append an event of the controller's own to the history."""
        os.write(self._append, history.encode(history.now(kind, **fields)))

    def poll(self) -> bool:
        """Read what has been appended since the last time; tell whether there was anything.

        Raises:
            TargetError: the target fills the history with what is no history.
        """
        self._send()
        chunk = os.read(self._tail, 1 << 20)
        if not chunk:
            return False
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            event = history.decode_line(line)
            if event is None:
                self._foreign_bytes += len(line)
            else:
                self.events.append(event)
        if self._foreign_bytes + len(self._partial) > MOST_FOREIGN_BYTES:
            raise TargetError(
                "expected the target to write only into files that it has opened itself, got"
                f" more than {MOST_FOREIGN_BYTES >> 20} MiB of its output in {self.journal}"
            )
        return True

    def close_gate(self, name: str) -> str:
        """Make a gate at which jobs wait; return its path, for their `gate`."""
        path = self.directory / "gates" / name
        os.mkfifo(path)
        self._gates[name] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        return str(path)

    def open_gate(self, name: str) -> None:
        """Let through all who wait at the gate, and all who come later; harmless if it is open."""
        if (descriptor := self._gates.pop(name, None)) is not None:
            (self.directory / "gates" / name).unlink()
            os.close(descriptor)

    def open_gates(self) -> None:
        """Open every gate."""
        for name in list(self._gates):
            self.open_gate(name)

    def processes(self) -> tuple[int, ...]:
        """Return every live process of the trial below its root, the owner first."""
        return procfs.descendants(self.root)

    async def end(self) -> None:
        """Kill what is left of the trial's tree and let go of its files.

        Resource trackers are left for last: they remove the semaphores and shared memory of those that were killed,
        and then go by themselves.
        """
        root = procfs.identity(self.root)
        await self._end_below(spared=is_tracker)
        await self._end_below()
        if root is not None:
            send_signal(root, signal.SIGKILL)
        self.let_go()
        self.ended = True
        logs.shorten(self.output)

    def let_go(self) -> None:
        """Close the files and pipes of the trial."""
        for descriptor in (self._commands, self._append, self._tail, *self._gates.values()):
            os.close(descriptor)
        self._gates.clear()

    async def _end_below(self, *, spared: Callable[[int], bool] = lambda _: False) -> None:
        for _ in range(END_ROUNDS):
            below = [identity for pid in self.processes() if (identity := procfs.identity(pid))]
            if not below:
                return
            for identity in below:
                if not spared(identity.pid):
                    send_signal(identity, signal.SIGKILL)
            await asyncio.sleep(0.001)
