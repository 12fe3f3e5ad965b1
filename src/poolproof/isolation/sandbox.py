"""A test's own names and places, what it hands over, and the clean-up that leaves nothing of it behind."""

import asyncio
import contextlib
import itertools
import os
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from poolproof.errors import UsageError
from poolproof.isolation import cleaning, closing, processes, tracking
from poolproof.isolation.cleaning import Cleaned, CleanupError, Released
from poolproof.isolation.environment import Environment
from poolproof.isolation.leases import SANDBOX_VARIABLE, Lease
from poolproof.isolation.names import Namespace
from poolproof.isolation.places import Places, process_lease
from poolproof.isolation.state import State

Made = TypeVar("Made")
Entered = TypeVar("Entered")

_open: list["Sandbox"] = []


class Sandbox:
    """What one attempt at one test has for itself alone.

    It begins when it is made, and ends with `cleanup` (an asynchronous test's with `aclose`, in its loop, before that).
    All names of one sandbox are its own: two tests, workers, attempts or invocations never meet.

    Args:
        namespace: whose it is.
        lease: the process's, under which everything outside is kept.
    """

    def __init__(self, namespace: Namespace, lease: Lease) -> None:
        self.namespace = namespace
        self._mark = f"{namespace.process}/{namespace.folder}"
        self.early = _end_earlier(namespace)
        self._places = Places(lease, namespace)
        self._environment = Environment()
        self._environment.set(SANDBOX_VARIABLE, self._mark)
        self._started = processes.Started(f"{SANDBOX_VARIABLE}={self._mark}")
        self._opened: list[closing.Open] = []
        self._states: list[tracking.Tracked] = []
        self._caches: list[tracking.Tracked] = []
        self._tables: list[tracking.Tracked] = []
        self._mocks: dict[str, Any] = {}
        self._named: set[str] = set()
        self._jobs = itertools.count(1)
        self._closed = Cleaned()
        self._tried: list[closing.Open] = []
        _open.append(self)

    # --- names

    def name(self, label: str) -> str:
        """Return a name for something outside this process, the same for the same label; at most 63 bytes.

        It has a-z, 0-9 and _ only. Shared memory and semaphores that get it are removed in the end.
        """
        name = self.namespace.name(label)
        if name not in self._named:
            self._places.claim("name", name)
            self._named.add(name)
        return name

    def unique(self, label: str) -> str:
        """Return a name that nothing else has, another one at each call."""
        return self.namespace.unique(label)

    def job_id(self, prefix: str = "job") -> str:
        """Return the id of a job, unique over all workers and runs, in order of asking."""
        return f"{prefix}-{self.namespace.token}-{next(self._jobs)}"

    def tenant(self, label: str) -> str:
        """Return the name of a tenant of this test: FILE-RUN-WORKER-...-tenant-LABEL."""
        return self.namespace.tenant(label)

    def assert_tenant_isolated(
        self, tenant: str, found: Iterable[object], *, tenant_of: Callable[[Any], object] = str
    ) -> None:
        """Fail if any of `found` is not the tenant's, or if there is nothing, which would prove nothing.

        Args:
            tenant: what `tenant` has returned.
            found: keys, rows or objects that a search in the tenant's name has found.
            tenant_of: returns the tenant of one of them; by default, its text must contain the tenant's name.
        """
        everything = list(found)
        assert everything, f"expected something of tenant {tenant} to look at, got nothing"
        # What begins with the tenant's name and goes on is another tenant's.
        its = re.compile(rf"(?<![A-Za-z0-9-]){re.escape(tenant)}(?![A-Za-z0-9-])")
        foreign = [one for one in everything if not its.search(str(tenant_of(one)))]
        assert not foreign, f"expected only what is tenant {tenant}'s, got {foreign!r}"

    # --- places

    def dir(self, label: str = "files") -> Path:
        """Return a private directory of that name, made at the first call, removed in the end."""
        return self._places.directory(label)

    def port(self, host: str = "127.0.0.1") -> socket.socket:
        """Return a TCP socket that is bound to a port of this sandbox's own: hand the socket to the server.

        A server that needs a number gets `getsockname()[1]`, after the socket was closed: the port stays leased.
        """
        return self._places.port(host)

    def socket_path(self, label: str = "socket") -> Path:
        """Return a path for a Unix socket, at most 107 bytes long."""
        return self._places.socket_path(label)

    def own(self, path: str | os.PathLike[str]) -> Path:
        """Hand over a file or directory elsewhere that the test is about to make; return its path."""
        return self._places.own(Path(path))

    def claim(self, kind: str, what: str) -> None:
        """Write down that the test makes something outside, of a kind in `claims.KINDS`; cleared in the end."""
        self._places.claim(kind, what)

    def setenv(self, name: str, value: str | None) -> None:
        """Set an environment variable, or remove it with None, until the end."""
        self._environment.set(name, value)

    def redirect(self, *words: str) -> None:
        """Send HOME, TMPDIR and XDG (or those of them that are named) to private directories."""
        self._environment.redirect(words, self.dir)

    # --- what is handed over

    def track_task(self, task: "asyncio.Future[Made]", name: str = "") -> "asyncio.Future[Made]":
        """Hand over a task: in the end it is cancelled and awaited; one that is stubborn is reported. Return it."""
        title = getattr(task, "get_name", lambda: "")()
        self._opened.append(closing.Task(task, f"task {name or title or repr(task)}"))
        return task

    def spawn(
        self, work: Coroutine[Any, Any, Made], *, name: str | None = None
    ) -> "asyncio.Task[Made]":
        """Start a coroutine as a task that is tracked."""
        task = asyncio.create_task(work, name=name)
        self.track_task(task)
        return task

    def track_service(self, service: Any, name: str = "", *, deep: bool = False) -> Any:
        """Hand over an object that tests share: its attributes and containers are put back in the end. Return it.

        Args:
            service: the object, `package.module:NAME` of one, or the name of a mock service of this test.
            name: what it is called in reports.
            deep: follow containers in containers and objects in objects, too.
        """
        found = self._find(service)
        label = name or (service if isinstance(service, str) else type(found).__qualname__)
        self._states.append(State(found, f"service {label}", deep=deep))
        return found

    def _find(self, service: Any) -> Any:
        if not isinstance(service, str):
            return service
        if service in self._mocks:
            return self._mocks[service]
        if ":" in service:
            holder, name = tracking.resolve(service)
            return getattr(holder, name)
        raise UsageError(
            f"expected a service, package.module:NAME, or a mock service of this test"
            f" ({', '.join(self._mocks) or 'there is none'}), got {service!r}"
        )

    def track_cache(self, cache: Any, name: str = "") -> Any:
        """Hand over a cache: its statistics are reset now, and it is flushed in the end. Return it.

        A module stands for all `lru_cache`s of its own functions.
        """
        found = (
            tracking.caches_of(cache)
            if isinstance(cache, ModuleType)
            else [(name or repr(cache), cache)]
        )
        self._caches.extend(tracking.Cache(one, f"cache {label}") for label, one in found)
        return cache

    def track_table(
        self, table: Any, name: str = "", *, mine: Callable[[Any], bool] | None = None
    ) -> Any:
        """Hand over a shared table or registry: what the test adds to it goes in the end. Return it.

        Args:
            table: a mapping or a set.
            name: what it is called in reports.
            mine: tells of a key whether it is this test's. Without it, the whole table is put back as it was.
        """
        self._tables.append(
            tracking.Table(table, f"table {name or type(table).__qualname__}", mine)
        )
        return table

    def singleton(self, path: str, factory: Callable[[], Made]) -> Made:
        """Replace `package.module:NAME` by what `factory` makes, until the end; return that."""
        made = factory()
        self._states.append(tracking.Swap(path, made))
        return made

    def isolated(self, service: Callable[..., Made], *args: Any, **kwargs: Any) -> Made:
        """Make a service for this test alone.

        The first of `aclose`, `close`, `dispose`, `stop`, `disconnect` that it has is called in the end.
        """
        made = service(*args, **kwargs)
        self._opened.append(closing.Service(made, f"service {type(made).__qualname__}"))
        return made

    def mock_service(self, name: str, spec: type | None = None, **options: Any) -> Any:
        """Return this test's mock of a service; see `mocks.mock_service`."""
        from poolproof.isolation import mocks  # noqa: PLC0415 - late: few tests need it

        if name not in self._mocks:
            self._mocks[name] = mocks.mock_service(name, spec, **options)
        return self._mocks[name]

    async def enter(
        self,
        what: AbstractAsyncContextManager[Entered]
        | Awaitable[AbstractAsyncContextManager[Entered]],
        name: str = "",
        *,
        proof: Callable[[], bool] | None = None,
    ) -> Entered:
        """Enter an asynchronous block that is left in the end, in reverse order of entering.

        Args:
            what: the block, or what is to be awaited for it.
            name: what it is called in reports.
            proof: tells afterwards whether it is really gone.
        """
        manager = await what if isinstance(what, Awaitable) else what
        entered = await manager.__aenter__()
        self._opened.append(closing.Block(manager, name or type(manager).__qualname__, proof))
        return entered

    # --- the end

    async def aclose(self) -> Cleaned:
        """End what has to be ended in its loop, in reverse order; harmless twice."""
        cleaned = await closing.end_all(self._opened)
        self._closed += cleaned
        self._tried = self._opened[:]
        return cleaned

    def cleanup(self) -> Cleaned:
        """Release everything; each step is run whatever comes of the others.

        Harmless twice: what is gone is passed over. The result also has what `aclose` has released.
        """
        if self in _open:
            _open.remove(self)
        closed, self._closed = self._closed, Cleaned()
        return closed + cleaning.run(
            [
                ("end_without_a_loop", self._end_without_a_loop),
                ("cleanup_orphaned_processes", self.cleanup_orphaned_processes),
                ("restore_services", lambda: cleaning.release_all(self._states)),
                ("flush_caches", lambda: cleaning.release_all(self._caches)),
                ("cleanup_tables", self.cleanup_tables),
                ("restore_environment", lambda: _each(self._environment.restore())),
                ("close_ports", lambda: _each(self._places.close_ports())),
                ("cleanup_test_files", self.cleanup_test_files),
            ]
        )

    def _end_without_a_loop(self) -> Iterator[Released]:
        tried, self._tried = self._tried, []  # what came of these has been told
        for one in reversed([one for one in self._opened if one not in tried]):
            if isinstance(one, closing.Service):
                one.end_now()
            if one.ended():
                self._opened.remove(one)
            note = (
                ""
                if one.ended()
                else "its loop was over before it was ended: take this sandbox in an async test"
            )
            yield Released(what=one.what, verified=one.ended(), note=note)

    def cleanup_orphaned_processes(self) -> list[Released]:
        """End the processes that this test has started and left, wherever they have gone; return each."""
        return list(self._end_processes())

    def _end_processes(self) -> Iterator[Released]:
        found = self._started.left()
        direct = {who for who in found if processes.parent(who) == os.getpid()}
        titles = {who: processes.title(who) for who in found}
        left = processes.end(found)
        for who in found:
            note = "would not die of SIGKILL" if who in left else "was left running, and was ended"
            leak = "child" if who in direct else "orphan"
            yield Released(
                what=f"process {titles[who]}", verified=who not in left, note=note, leak=leak
            )

    def cleanup_tables(self) -> list[Released]:
        """Take this test's entries out of the tables that it has handed over; return each table."""
        return list(cleaning.release_all(self._tables))

    def cleanup_test_files(self) -> list[Released]:
        """Remove the private directory, and what the test has claimed elsewhere; return each."""
        return list(_each(self._places.clear()))

    def spare(self, others: Iterable[Any]) -> None:
        """Count processes as somebody else's, though they were started meanwhile."""
        self._started.spare(others)


def _each(found: Iterable[tuple[str, bool]]) -> Iterator[Released]:
    return (Released(what=what, verified=gone) for what, gone in found)


def _end_earlier(namespace: Namespace) -> list[str]:
    """End what earlier attempts at the same test, in this process, have left running."""
    marks = [f"{SANDBOX_VARIABLE}={one.process}/{one.folder}" for one in namespace.earlier()]
    found = list(processes.carriers(marks)) if marks else []
    processes.end(found)
    return [f"process {who.pid} of an earlier attempt" for who in found]


def open_sandboxes() -> list[Sandbox]:
    """Return the sandboxes that have begun and not ended, the innermost last."""
    return list(_open)


_contexts: Final = itertools.count(1)


@contextlib.asynccontextmanager
async def async_isolation_context(name: str) -> AsyncGenerator[Sandbox]:
    """A sandbox for a block: everything of it is released when the block is left.

    ```python
    async with async_isolation_context("import") as isolation:
        isolation.spawn(consumer())
    ```

    Raises:
        CleanupError: something could not be released. What the block has raised stands over it.
    """
    lease = process_lease()
    sandbox = Sandbox(Namespace(lease.run, f"{name}[{next(_contexts)}]"), lease)
    try:
        yield sandbox
    except BaseException as error:
        cleaned = await _end(sandbox)
        for line in cleaned.lines():
            error.add_note(f"poolproof: {line}")
        raise
    cleaned = await _end(sandbox)
    if not cleaned.complete:
        raise CleanupError(cleaned)


async def _end(sandbox: Sandbox) -> Cleaned:
    try:
        await sandbox.aclose()
    finally:
        cleaned = sandbox.cleanup()
    return cleaned
