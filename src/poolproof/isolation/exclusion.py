"""Which tests may run beside which: the markers `serial` and `resource`, and `poolproof_parallel`, as locks.

They hold between all workers of a run, whatever `--dist` is, and between runs of the same project on this machine.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

if TYPE_CHECKING:
    from poolproof.isolation.locks import Wait

Mode = Literal["read", "write"]

MARKERS: Final = (
    "serial(group=None): runs beside no other test of the run; with a group, beside none of that group",
    'resource(key, mode="write"): runs beside no writer of that resource; a writer ("write") beside no reader either',
)
PARALLEL: Final = ("off", "file", "worker")
WAITED: Final = "poolproof_waited"
WAITS: Final = "poolproof_waits"
ALONE: Final = "alone"

_claims = pytest.StashKey["tuple[Claim, ...]"]()
_failure = pytest.StashKey[Exception]()


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A lock that a test needs; in the order in which all tests take theirs, so that no two wait for each other."""

    lock: str
    mode: Mode


class MarkerError(Exception):
    """A marker that cannot be meant so."""


def claims_of(
    item: pytest.Item, parallel: "dict[Path, str]", foreign: Sequence[str]
) -> tuple[Claim, ...]:
    """Return what a test's markers, those of its class, module and directories, ask for, in the order of taking.

    Args:
        item: the test.
        parallel: `poolproof_parallel` of each directory that has one.
        foreign: names of our markers that the suite had already, with a meaning of its own.

    Raises:
        MarkerError: a marker has arguments that it does not take.
    """
    found: dict[str, Mode] = dict(_of_directory(item, parallel))
    if "serial" not in foreign:
        found.update(_serial(marker) for marker in item.iter_markers("serial"))
    if "resource" not in foreign:
        for marker in item.iter_markers("resource"):
            lock, mode = _resource(marker)
            found[lock] = "write" if "write" in (mode, found.get(lock)) else mode
    return tuple(Claim(lock, mode) for lock, mode in sorted(found.items()))


def _serial(marker: pytest.Mark) -> tuple[str, Mode]:
    group = (*marker.args, *marker.kwargs.values())
    if (
        len(group) > 1
        or marker.kwargs.keys() - {"group"}
        or not all(isinstance(g, str | None) for g in group)
    ):
        raise MarkerError(f"expected serial(group=NAME) or serial, got {_spelled(marker)}")
    return (f"serial {group[0]}" if group and group[0] is not None else ALONE), "write"


def _resource(marker: pytest.Mark) -> tuple[str, Mode]:
    given: dict[str, Any] = dict(zip(("key", "mode"), marker.args, strict=False), **marker.kwargs)
    key, mode = given.pop("key", None), given.pop("mode", "write")
    if given or len(marker.args) > 2 or not isinstance(key, str) or mode not in ("read", "write"):  # noqa: PLR2004
        raise MarkerError(f'expected resource(KEY, mode="read") or "write", got {_spelled(marker)}')
    return f"resource {key}", mode


def _spelled(marker: pytest.Mark) -> str:
    arguments = [*map(repr, marker.args), *(f"{k}={v!r}" for k, v in marker.kwargs.items())]
    return f"{marker.name}({', '.join(arguments)})"


def _of_directory(item: pytest.Item, parallel: "dict[Path, str]") -> Iterator[tuple[str, Mode]]:
    for directory in item.path.parents:
        if directory in parallel:
            place = {"off": directory, "file": item.path}.get(parallel[directory])
            if place is not None:
                yield f"serial {place}", "write"
            return


class Exclusion:
    """Takes each test's locks before anything of it runs, and lets go of them after all of it.

    Args:
        run: the run that this process is one worker of; empty if it is the only one.
        timeout: how many seconds a test waits for one lock.
        parallel: `poolproof_parallel` for directories that do not say.
    """

    def __init__(self, run: str, timeout: float, parallel: str) -> None:
        self._run = run
        self._timeout = timeout
        self._parallel = parallel
        self._taken: set[Path] = set()
        self._someone_alone = False
        self._root: Path | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Find out what each test needs; refuse what cannot be meant, all of it at once."""
        foreign = _foreign(config)
        parallel = {config.rootpath: self._parallel, **_conftests(config)}
        problems: list[str] = []
        for item in items:
            try:
                item.stash[_claims] = claims_of(item, parallel, foreign)
            except MarkerError as error:
                problems.append(f"{item.nodeid}: {error}")
        if problems:
            raise pytest.UsageError(*problems)
        # Every worker collects the same tests. So all know whether one of them must be alone, and only then pay for it.
        self._someone_alone = any(Claim(ALONE, "write") in item.stash[_claims] for item in items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hold the test's locks around all of it: other plugins' time limits begin inside."""
        wanted = self._wanted(item)
        if not wanted:
            return (yield)
        with ExitStack() as held:
            self._take(item, wanted, held)
            return (yield)

    def _wanted(self, item: pytest.Item) -> tuple[Claim, ...]:
        wanted = item.stash.get(_claims, ())
        if not self._run:  # the only process of its run, so each test is alone in it
            return tuple(claim for claim in wanted if claim.lock != ALONE)
        if self._someone_alone and Claim(ALONE, "write") not in wanted:
            return (Claim(ALONE, "read"), *wanted)
        return wanted

    def _take(self, item: pytest.Item, wanted: tuple[Claim, ...], held: ExitStack) -> None:
        from poolproof.errors import PoolproofError  # noqa: PLC0415 - late: few suites have a lock

        waits: list[tuple[str, str, float, str]] = []
        try:
            for claim in wanted:
                wait = self._take_one(item, claim, held)
                waits.append((claim.lock, claim.mode, wait.seconds, wait.behind))
        except PoolproofError as error:
            item.stash[_failure] = error
        _tell(item, waits)

    def _take_one(self, item: pytest.Item, claim: Claim, held: ExitStack) -> "Wait":
        from poolproof.isolation.linux import require_linux  # noqa: PLC0415 - late, as above

        require_linux("serial, resource and poolproof_parallel")
        from poolproof.isolation import locks  # noqa: PLC0415 - cannot be imported elsewhere

        path = self._path(claim.lock, item.config.rootpath)
        self._taken.add(path)
        ticket = locks.acquire(path, claim.mode, item.nodeid, self._timeout)
        held.callback(ticket.release)
        return ticket.waited

    def _path(self, lock: str, project: Path) -> Path:
        # Alone means alone in this run: another invocation need not know of it.
        scope = f"{self._run if lock == ALONE else project}\0{lock}"
        self._root = self._root or _root()
        readable = "".join(c if c.isalnum() else "-" for c in lock)[-40:].strip("-")
        return self._root / f"{readable}-{blake2b(scope.encode(), digest_size=8).hexdigest()}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail the test that could not have its locks in time."""
        if error := item.stash.get(_failure, None):
            del item.stash[_failure]
            raise error

    def pytest_sessionfinish(self) -> None:
        """Remove the locks that nobody is waiting for."""
        for path in self._taken:
            from poolproof.isolation import locks  # noqa: PLC0415 - as above

            locks.clear(path)


def _root() -> Path:
    from poolproof.isolation import leases  # noqa: PLC0415 - late, as above

    return leases.home() / leases.LOCKS


def register(config: pytest.Config) -> None:
    """Register the markers, and what keeps them.

    Raises:
        pytest.UsageError: an ini key has a value that it cannot have.
    """
    foreign = _foreign(config)
    for line in MARKERS:
        if not line.startswith(tuple(f"{name}(" for name in foreign)):
            config.addinivalue_line("markers", line)
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    parallel = checked(config.getini("poolproof_parallel"), "ini")
    exclusion = Exclusion(worker.get("testrunuid", ""), _timeout(config), parallel)
    config.pluginmanager.register(exclusion, "poolproof-exclusion")


def _timeout(config: pytest.Config) -> float:
    text: str = config.getini("poolproof_lock_timeout")
    try:
        if 0 < float(text) < float("inf"):
            return float(text)
    except ValueError:
        pass
    raise pytest.UsageError(
        f"expected poolproof_lock_timeout to be a number of seconds, got {text!r}"
    )


def _tell(item: pytest.Item, waits: list[tuple[str, str, float, str]]) -> None:
    """Put the waits among the test's properties, in place of those of an earlier attempt."""
    kept = [(name, value) for name, value in item.user_properties if name not in {WAITED, WAITS}]
    waited = round(sum(seconds for _, _, seconds, _ in waits), 6)
    item.user_properties[:] = [*kept, (WAITED, waited), (WAITS, [list(wait) for wait in waits])]


def _foreign(config: pytest.Config) -> list[str]:
    lines: list[str] = config.getini("markers")
    return [
        name
        for name in ("serial", "resource")
        if any(line.startswith((f"{name}:", f"{name}(")) and line not in MARKERS for line in lines)
    ]


def _conftests(config: pytest.Config) -> dict[Path, str]:
    """Return `poolproof_parallel` of each conftest.py that has it, by its directory."""
    found: dict[Path, str] = {}
    for plugin in config.pluginmanager.get_plugins():
        value, file = getattr(plugin, "poolproof_parallel", None), getattr(plugin, "__file__", None)
        if value is not None and isinstance(file, str) and Path(file).name == "conftest.py":
            found[Path(file).parent] = checked(value, file)
    return found


def checked(value: object, where: str) -> Literal["off", "file", "worker"]:
    """Return a value of `poolproof_parallel`; raise pytest.UsageError if it is none."""
    if value not in PARALLEL:
        raise pytest.UsageError(
            f"{where}: expected poolproof_parallel to be one of {', '.join(PARALLEL)}, got {value!r}"
        )
    return value
