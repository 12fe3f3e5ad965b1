"""The sound pools of the zoo are sound: what a checker finds in them is the checker's mistake."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from tests.chaos.zoo import loud_pool, process_pool, thread_pool
from tests.chaos.zoo.ablations import ZOO

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]

BOUND_S: Final = 20.0
MAKERS: Final[dict[str, Callable[[int], Any]]] = {
    "process": process_pool.make_pool,
    "retrying": process_pool.make_retrying_pool,
    "loud": loud_pool.make_pool,
    "thread": thread_pool.make_pool,
}
WITH_PROCESSES: Final = ("process", "retrying", "loud")
EACH: Final = pytest.mark.parametrize("kind", MAKERS)
EACH_WITH_PROCESSES: Final = pytest.mark.parametrize("kind", WITH_PROCESSES)
EACH_THAT_RECOVERS: Final = pytest.mark.parametrize("kind", ["process", "retrying"])


def leave(code: int) -> NoReturn:
    """As a job of its own: `os._exit` itself, once it is measured by coverage, cannot be pickled."""
    os._exit(code)


@pytest.fixture
def pool(kind: str) -> Iterator[Any]:
    made = MAKERS[kind](2)
    yield made
    made.shutdown()


class Held:
    """A job that runs until it is let go: `job` in a worker, the rest in the test."""

    def __init__(self, pool: Any, directory: Path) -> None:
        self.begun, self.gate = directory / "begun", directory / "gate"
        directory.mkdir()
        os.mkfifo(self.begun)
        os.mkfifo(self.gate)
        self.future: Future[str] = pool.submit(hold, str(self.begun), str(self.gate))

    def pid(self) -> int:
        """Wait until the job has begun, and return in which process; to be called once."""
        return int(self.begun.read_text())

    def let_go(self) -> str:
        self.gate.write_text("")
        return self.future.result(BOUND_S)


def hold(begun: str, gate: str) -> str:
    Path(begun).write_text(str(os.getpid()))
    Path(gate).read_text()
    return "held"


def echo(answer: object) -> object:
    return answer


def fail() -> NoReturn:
    raise ZeroDivisionError("on purpose")


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def die_once(marker: str) -> str:
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)
    return "alive"


class UnpicklableError(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot be pickled")


class UnloadableError(Exception):
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return refuse, ("cannot be unpickled",)


def refuse(message: str) -> NoReturn:
    raise LookupError(message)


def throw(kind: type[Exception]) -> NoReturn:
    raise kind


def children() -> set[int]:
    found = set[int]()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended since
            found.update(map(int, (task / "children").read_text().split()))
    return found


def eventually(fact: Callable[[], object]) -> None:
    until = time.monotonic() + BOUND_S
    while not fact():
        assert time.monotonic() < until, f"expected within {BOUND_S} s: {fact}"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@EACH
def test_each_job_gets_its_own_result(pool: Any) -> None:
    futures = [pool.submit(echo, number) for number in range(50)]

    assert [future.result(BOUND_S) for future in futures] == list(range(50))


@EACH
def test_runs_as_many_jobs_at_once_as_it_has_workers(pool: Any, tmp_path: Path) -> None:
    both = [Held(pool, tmp_path / name) for name in "ab"]
    pids = [held.pid() for held in both]

    assert [held.let_go() for held in both] == ["held", "held"]
    assert len(set(pids)) == len(children() or {os.getpid()})


@EACH
@pytest.mark.parametrize("job", [fail, sys.exit, interrupt])
def test_an_error_of_a_job_reaches_its_caller_and_nobody_else(
    pool: Any, job: Callable[[], Any]
) -> None:
    error = pool.submit(job).exception(BOUND_S)

    assert isinstance(error, Exception)
    assert [pool.submit(echo, number).result(BOUND_S) for number in range(4)] == [0, 1, 2, 3]


@EACH
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_callback_that_raises_harms_nobody(pool: Any, error: type[BaseException]) -> None:
    def callback(_future: object) -> NoReturn:
        called.append(1)
        raise error

    called: list[int] = []
    for number in range(4):
        future = pool.submit(echo, number)
        future.add_done_callback(callback) if not future.done() else called.append(1)

    assert pool.submit(echo, "later").result(BOUND_S) == "later"
    eventually(lambda: len(called) == 4)


@EACH
def test_a_job_that_is_cancelled_before_it_begins_never_runs(pool: Any, tmp_path: Path) -> None:
    running = [Held(pool, tmp_path / name) for name in "ab"]
    for held in running:
        held.pid()
    waiting = [pool.submit(Path.touch, tmp_path / "ran") for _ in range(4)]

    assert all(future.cancel() for future in waiting)
    assert [held.let_go() for held in running] == ["held", "held"]
    assert [pool.submit(echo, number).result(BOUND_S) for number in range(4)] == [0, 1, 2, 3]
    assert not (tmp_path / "ran").exists()
    with pytest.raises(CancelledError):
        waiting[0].result(0)


@EACH_WITH_PROCESSES
@pytest.mark.parametrize(
    ("job", "argument"),
    [
        pytest.param(echo, UnpicklableError(), id="argument-unpicklable"),
        pytest.param(echo, UnloadableError(), id="argument-unloadable"),
        pytest.param(UnpicklableError, "result", id="result-unpicklable"),
        pytest.param(UnloadableError, "result", id="result-unloadable"),
        pytest.param(throw, UnpicklableError, id="exception-unpicklable"),
        pytest.param(throw, UnloadableError, id="exception-unloadable"),
    ],
)
def test_what_cannot_be_carried_is_an_error_of_its_own_job_only(
    pool: Any, job: Callable[[Any], Any], argument: object
) -> None:
    assert isinstance(pool.submit(job, argument).exception(BOUND_S), Exception)
    assert [pool.submit(echo, number).result(BOUND_S) for number in range(4)] == [0, 1, 2, 3]


@EACH
def test_carries_64_mebibytes(pool: Any) -> None:
    size = 64 * 1024 * 1024

    assert len(pool.submit(bytes, size).result(BOUND_S)) == size


@EACH_THAT_RECOVERS
def test_an_idle_worker_that_is_killed_is_replaced(pool: Any, tmp_path: Path) -> None:
    eventually(lambda: len(children()) == 2)
    killed = min(children())
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: killed not in children())
    both = [Held(pool, tmp_path / name) for name in "ab"]

    assert killed not in {held.pid() for held in both}
    assert [held.let_go() for held in both] == ["held", "held"]


@pytest.mark.parametrize("kind", ["process"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_fails_with_its_worker_and_the_pool_serves_on(
    pool: Any, tmp_path: Path, number: int
) -> None:
    victim, other = (Held(pool, tmp_path / name) for name in "ab")
    other.pid()
    os.kill(victim.pid(), number)

    with pytest.raises(process_pool.WorkerDiedError):
        victim.future.result(BOUND_S)
    assert other.let_go() == "held"
    assert pool.submit(echo, "later").result(BOUND_S) == "later"


@pytest.mark.parametrize("kind", ["process"])
def test_a_job_that_ends_its_worker_fails(pool: Any) -> None:
    with pytest.raises(process_pool.WorkerDiedError):
        pool.submit(leave, 3).result(BOUND_S)


@pytest.mark.parametrize("kind", ["retrying"])
def test_a_job_is_tried_once_more_and_no_more(pool: Any, tmp_path: Path) -> None:
    assert pool.submit(die_once, str(tmp_path / "died")).result(BOUND_S) == "alive"
    with pytest.raises(process_pool.WorkerDiedError):
        pool.submit(leave, 3).result(BOUND_S)


@pytest.mark.parametrize("kind", ["loud"])
def test_the_loud_pool_breaks_for_good_when_a_worker_dies_idle(pool: Any) -> None:
    os.kill(min(children()), signal.SIGKILL)
    eventually(lambda: pool._broken)

    with pytest.raises(loud_pool.BrokenPoolError):
        pool.submit(echo, 1)


@pytest.mark.parametrize("kind", ["loud"])
def test_the_loud_pool_fails_all_it_has_when_a_busy_worker_dies(pool: Any, tmp_path: Path) -> None:
    both = [Held(pool, tmp_path / name) for name in "ab"]
    pids = [held.pid() for held in both]
    waiting = [pool.submit(echo, number) for number in range(4)]
    os.kill(pids[0], signal.SIGKILL)

    for future in [*(held.future for held in both), *waiting]:
        with pytest.raises(loud_pool.BrokenPoolError):
            future.result(BOUND_S)
    with pytest.raises(loud_pool.BrokenPoolError):
        pool.submit(echo, 1)


@EACH_WITH_PROCESSES
def test_a_frozen_worker_holds_up_its_own_job_only(pool: Any, tmp_path: Path) -> None:
    frozen = Held(pool, tmp_path / "frozen")
    pid = frozen.pid()
    os.kill(pid, signal.SIGSTOP)
    served = [pool.submit(echo, number).result(BOUND_S) for number in range(8)]
    os.kill(pid, signal.SIGCONT)

    assert served == list(range(8))
    assert frozen.let_go() == "held"


@EACH_WITH_PROCESSES
@pytest.mark.parametrize("frozen", [False, True])
def test_shutdown_ends_although_a_job_does_not(kind: str, tmp_path: Path, *, frozen: bool) -> None:
    pool = MAKERS[kind](2)
    busy = Held(pool, tmp_path / "busy")
    pid = busy.pid()
    if frozen:
        os.kill(pid, signal.SIGSTOP)
    pool.shutdown()

    assert isinstance(busy.future.exception(0), Exception)
    assert gone(pid)
    assert not children()


@EACH
def test_three_lives_leave_nothing_behind(kind: str) -> None:
    def holdings() -> tuple[int, list[threading.Thread], set[int]]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.enumerate(), children()

    def live() -> None:
        pool = MAKERS[kind](2)
        assert pool.submit(echo, 1).result(BOUND_S) == 1
        if kind in WITH_PROCESSES:
            os.kill(min(children()), signal.SIGKILL)
        pool.shutdown()

    live()
    before = holdings()
    for _ in range(3):
        live()

    assert holdings() == before


@EACH
def test_a_pool_that_is_shut_down_refuses_loudly(kind: str) -> None:
    pool = MAKERS[kind](2)
    pool.shutdown()

    with pytest.raises(Exception, match="shut down"):
        pool.submit(echo, 1)
    pool.shutdown()


OWNER: Final = """
import os, sys, time
import {module} as pools
pool = pools.make_pool(2)
busy = [pool.submit(time.sleep, 600) for _ in range({busy})]
pids = [] if busy else [pool.submit(os.getpid).result(20)]
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("busy", [0, 2])
@pytest.mark.parametrize("module", ["process_pool", "loud_pool"])
def test_nobody_outlives_an_owner_that_is_killed(module: str, busy: int) -> None:
    script = OWNER.format(module=module, busy=busy)
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ZOO, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline()
        tasks = Path(f"/proc/{owner.pid}/task")
        workers: set[int] = set()

        def all_born() -> bool:
            for task in tasks.iterdir():
                workers.update(map(int, (task / "children").read_text().split()))
            return len(workers) == 2

        eventually(all_born)
        owner.kill()
        owner.wait()
        eventually(lambda: all(map(gone, workers)))


SHORTAGE: Final = """
import os, resource, signal, sys, time
import process_pool
def kids():
    tasks = os.listdir("/proc/self/task")
    lists = [open(f"/proc/self/task/{{task}}/children").read() for task in tasks]
    return {{int(pid) for pids in lists for pid in pids.split()}}
pool = process_pool.make_pool(2)
assert pool.submit(abs, -1).result(20) == 1
old = kids()
_, hard = resource.getrlimit(resource.{limit})
resource.setrlimit(resource.{limit}, ({value}, hard))
{act}
resource.setrlimit(resource.{limit}, (hard, hard))
assert pool.submit(abs, -2).result(20) == 2
pool.shutdown()
"""
NO_DESCRIPTORS: Final = """
for pid in old:
    os.kill(pid, signal.SIGKILL)
error = pool.submit(abs, -1).exception(20)
while not isinstance(error, process_pool.SpawnError):
    error = pool.submit(abs, -1).exception(20)
"""
NO_DESCRIPTORS_AT_THE_END: Final = """
for pid in old:
    os.kill(pid, signal.SIGKILL)
late = [pool.submit(abs, -1) for _ in range(4)]
pool.shutdown()
assert all(isinstance(future.exception(0), process_pool.PoolError) for future in late)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
pool = process_pool.make_pool(2)
"""
NO_MEMORY: Final = """
error = pool.submit(bytes, 1 << 28).exception(20)
assert isinstance(error, process_pool.PoolError), error
"""


@pytest.mark.parametrize(
    ("limit", "value", "act"),
    [
        pytest.param("RLIMIT_NOFILE", "3", NO_DESCRIPTORS, id="descriptors"),
        pytest.param("RLIMIT_NOFILE", "3", NO_DESCRIPTORS_AT_THE_END, id="descriptors-at-the-end"),
        pytest.param("RLIMIT_AS", "1 << 28", NO_MEMORY, id="memory"),
    ],
)
def test_a_shortage_in_the_owner_is_told_and_gets_over(limit: str, value: str, act: str) -> None:
    script = SHORTAGE.format(limit=limit, value=value, act=act)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ZOO,
        capture_output=True,
        text=True,
        timeout=2 * BOUND_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
