"""The isolated, uniquely named process tree that a target runs in, as its controller outside holds it."""

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

import poolproof
from poolproof import history
from poolproof.errors import PoolproofError, TargetError
from poolproof.isolation.containment import send_signal
from poolproof.isolation.leases import RUN_VARIABLE
from poolproof.plan import Target
from poolproof.watch import procfs

PACKAGE: Final = Path(poolproof.__file__).parent
END_SECONDS: Final = 10.0


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
        with theirs, open(self.directory / "host.log", "ab") as log:
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
                    f"expected a Python interpreter at {self.target.python}, got {error}; give --python PATH"
                ) from error
            finally:
                os.close(lifeline)
        self.identity = procfs.identity(self._keeper.pid)
        self._control.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=self._control)
        self._turn = asyncio.Lock()
        try:
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

    async def _prepare(self) -> None:
        try:
            async with asyncio.timeout(max(self.target.deadline, 10.0)):
                reply = await self._ask(do="prepare", name=self.target.name, cwd=self.target.cwd)
        except TimeoutError:
            raise TargetError(
                f"expected {self.target.name} to be imported within {max(self.target.deadline, 10.0):g} s,"
                " got no answer; give a longer --deadline"
            ) from None
        except HostLostError as error:
            raise TargetError(
                f"importing {self.target.name} ended its interpreter: {self._last_words()}"
            ) from error
        self.threads = reply["threads"]
        self.version = reply["version"]

    def _last_words(self) -> str:
        lines = (self.directory / "host.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def _ask(self, **request: Any) -> dict[str, Any]:
        async with self._turn:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            line = await self._reader.readline()
        if not line:
            raise HostLostError(
                f"the host of {self.target.name} ended unexpectedly: {self._last_words()}"
            )
        reply: dict[str, Any] = msgspec.json.decode(line)
        if "problem" in reply:
            raise TargetError(reply["problem"])
        return reply

    def another(self) -> "Host":
        """Return a second host of the same target, not started yet."""
        self._copies += 1
        directory = self.directory / f"copy{self._copies}"
        directory.mkdir()
        return Host(self.target, run=self.run, directory=directory)

    async def preload(self, modules: list[str]) -> None:
        """Import these modules before the next fork, for speed; those that fail are passed over."""
        self.threads = (await self._ask(do="preload", modules=modules))["threads"]

    async def fork(self, directory: Path, *, describe: bool = False) -> "Trial":
        """Start one trial in `directory`, which becomes its private place; return the controller's hold on it."""
        trial = Trial(directory)
        trial.lay_out()
        reply = await self._ask(
            do="fork",
            trial=str(directory),
            adapter=self.target.adapter,
            workers=self.target.workers,
            own=self.target.own,
            describe=describe,
        )
        trial.root = reply["root"]
        return trial

    async def close(self) -> None:
        """End every process of this host, whatever state it is in."""
        self._writer.close()
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
        self.garbage = 0
        self._partial = b""
        self._gates: dict[str, int] = {}

    @property
    def journal(self) -> Path:
        """Return where the history is kept."""
        return self.directory / "history.jsonl"

    def lay_out(self) -> None:
        """Make the files and pipes that the trial's processes expect."""
        (self.directory / "tmp").mkdir(parents=True)
        (self.directory / "gates").mkdir()
        os.mkfifo(self.directory / "commands")
        self._commands = os.open(self.directory / "commands", os.O_RDWR | os.O_CLOEXEC)
        self._append = os.open(
            self.journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._tail = os.open(self.journal, os.O_RDONLY | os.O_CLOEXEC)

    def command(self, do: str, **arguments: Any) -> None:
        """Tell the owner what to do next; it obeys in order."""
        os.write(self._commands, msgspec.json.encode({"do": do, **arguments}) + b"\n")

    def write(self, kind: str, **fields: Any) -> None:
        """Append an event of the controller's own to the history."""
        os.write(self._append, history.encode(history.now(kind, **fields)))

    def poll(self) -> bool:
        """Read what has been appended since the last time; tell whether there was anything."""
        chunk = os.read(self._tail, 1 << 20)
        if not chunk:
            return False
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            event = history.decode_line(line)
            if event is None:
                self.garbage += 1
            else:
                self.events.append(event)
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
        """Kill what is left of the trial's tree and let go of its files."""
        root = procfs.identity(self.root)
        for _ in range(2000):
            below = [identity for pid in self.processes() if (identity := procfs.identity(pid))]
            if not below:
                break
            for identity in below:
                send_signal(identity, signal.SIGKILL)
            await asyncio.sleep(0.001)
        if root is not None:
            send_signal(root, signal.SIGKILL)
        for descriptor in (self._commands, self._append, self._tail, *self._gates.values()):
            os.close(descriptor)
        self._gates.clear()
