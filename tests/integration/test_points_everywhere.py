"""Crash points in real workers: however they are started, from their first frame to their last.

Long because each way of starting a worker is driven in an interpreter of its own, whose scripts stand here.
"""

import inspect
import json
import multiprocessing.pool
import multiprocessing.popen_fork
import multiprocessing.queues
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from poolproof import history
from poolproof.agent import points
from poolproof.history import Event

pytestmark = pytest.mark.integration

SOURCE = Path(points.__file__).parents[2]
METHODS = ("fork", "spawn", "forkserver")
OWN = points.own_paths(["multiprocessing", "concurrent.futures"])

# Each is a whole pool's life: a job that returns, one that raises, and a shutdown in peace.
POOL = """
import multiprocessing
import sys


def job(raises):
    if raises:
        raise ValueError
    return 7


def use(pool):
    assert pool.apply(job, (False,)) == 7
    try:
        pool.apply(job, (True,))
    except ValueError:
        pool.close()
        pool.join()


def main(method):
    use(multiprocessing.get_context(method).Pool(2))
"""
EXECUTOR = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor


def job(raises):
    if raises:
        raise ValueError
    return 7


def main(method):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        assert executor.submit(job, False).result() == 7
        assert executor.submit(job, True).exception() is not None
"""
OWNER = """
import importlib
import os
import sys

from poolproof.agent import points

if __name__ == "__main__":
    os.environ["POOLPROOF_TRIAL"] = sys.argv[1]
    points.arm_owner(sys.argv[1])
    importlib.import_module(sys.argv[2]).main(*sys.argv[3:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A directory with a program in it, and what the program's workers journalled."""

    directory: Path

    def ask(self, **asked: Any) -> None:
        (self.directory / "points.json").write_text(json.dumps(asked))

    def write(self, name: str, source: str) -> str:
        """Write a module and return its path."""
        file = self.directory / f"{name}.py"
        file.write_text(source)
        return str(file)

    def environment(self) -> dict[str, str]:
        path = [SOURCE / "poolproof" / "agent" / "site", SOURCE, self.directory]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}

    @contextmanager
    def start(self, module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start the owner, which calls the module's `main(*arguments)`; end all that it started."""
        file = self.write("owner", OWNER)
        owner = subprocess.Popen(
            [sys.executable, file, str(self.directory), module, *arguments],
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield owner
        finally:
            with suppress(ProcessLookupError):
                os.killpg(owner.pid, signal.SIGKILL)
            owner.communicate()

    def run(self, module: str, *arguments: str) -> str:
        """Run the owner to its end and return what was printed."""
        with self.start(module, *arguments) as owner:
            output, errors = owner.communicate(timeout=50)

        assert (owner.returncode, errors) == (0, "")
        return output

    def events(self, kind: str) -> list[Event]:
        file = self.directory / "history.jsonl"
        events = history.read(file) if file.exists() else iter(())
        return [event for event in events if event.kind == kind]

    def points(self) -> list[tuple[str, int, str]]:
        """Everything recorded outside of imports: file name, line, name of the function."""
        found = (event.data for event in self.events("point"))
        return [(Path(at["file"]).name, at["line"], at["name"]) for at in found if not at["body"]]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(directory=tmp_path)


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def line_of(function: Any, text: str) -> int:
    """The line of the first statement in `function` that begins with `text`."""
    lines, first = inspect.getsourcelines(function)
    return next(number for number, line in enumerate(lines, first) if line.strip().startswith(text))


FIRST_FRAMES = {
    "fork": {("popen_fork.py", "Popen._launch")},
    "spawn": {("spawn.py", "spawn_main"), ("spawn.py", "prepare")},
    "forkserver": {("forkserver.py", "_serve_one"), ("spawn.py", "prepare")},
}


@pytest.fixture(
    params=[(source, method) for source in (POOL, EXECUTOR) for method in METHODS],
    ids=lambda param: f"{'pool' if param[0] is POOL else 'executor'}-{param[1]}",
    scope="module",
)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trial, str]:
    """A recorded life of a pool, and how its workers were started."""
    source, method = request.param
    trial = Trial(directory=tmp_path_factory.mktemp("trial"))
    trial.ask(mode="record", own=OWN)
    trial.write("target", source)
    trial.run("target", method)
    return trial, method


def test_the_first_frames_of_a_worker_are_recorded(recorded: tuple[Trial, str]) -> None:
    trial, method = recorded
    places = {(file, name) for file, _, name in trial.points()}

    assert places >= FIRST_FRAMES[method] | {("process.py", "BaseProcess._bootstrap")}


def test_the_body_of_a_worker_is_recorded(recorded: tuple[Trial, str]) -> None:
    trial, _ = recorded
    places = {(file, name) for file, _, name in trial.points()}

    assert places & {("pool.py", "worker"), ("process.py", "_process_worker")}


def test_the_shutdown_of_a_worker_is_recorded(recorded: tuple[Trial, str]) -> None:
    trial, _ = recorded
    places = {(file, name) for file, _, name in trial.points()}

    assert {("util.py", "_exit_function"), ("util.py", "_flush_std_streams")} <= places


def test_the_lock_around_a_queue_is_recorded_inside_and_outside(
    recorded: tuple[Trial, str],
) -> None:
    trial, _ = recorded
    lines = {line for file, line, _ in trial.points() if file == "queues.py"}
    queue = multiprocessing.queues
    simple = [line_of(queue.SimpleQueue.get, text) for text in ("with", "res =", "return")]
    full = [line_of(queue.Queue.get, text) for text in ("with", "res =", "self._sem", "return")]

    assert lines >= set(simple) or lines >= set(full)


def test_each_process_records_a_line_once(recorded: tuple[Trial, str]) -> None:
    trial, _ = recorded
    passes = Counter((e.pid, e.data["file"], e.data["line"]) for e in trial.events("point"))

    assert set(passes.values()) == {1}


def test_nothing_went_wrong_in_any_worker(recorded: tuple[Trial, str]) -> None:
    trial, _ = recorded

    assert trial.events("note") == []


def test_neither_owner_nor_servants_are_recorded(recorded: tuple[Trial, str]) -> None:
    trial, _ = recorded
    workers = {event.pid for event in trial.events("point")}
    places = {(file, name) for file, _, name in trial.points()}

    assert len(workers) <= 2
    assert not places & {
        ("pool.py", "Pool.__init__"),
        ("process.py", "ProcessPoolExecutor.submit"),
        ("forkserver.py", "ForkServer.ensure_running"),
        ("resource_tracker.py", "main"),
    }


def test_a_forked_pool_has_as_many_points_as_are_known(trial: Trial) -> None:
    """Counted by hand: 187 on Python 3.11 and 3.12, 188 on 3.13."""
    trial.ask(mode="record", own=OWN)
    trial.write("target", POOL)
    trial.run("target", "fork")

    assert 180 <= len(set(trial.points())) <= 195
    launch = vars(multiprocessing.popen_fork.Popen)["_launch"]
    last = line_of(launch, "os._exit")
    assert ("popen_fork.py", last, "Popen._launch") in trial.points()


def test_a_copy_of_the_pool_in_a_strangers_folder_has_the_same_points(tmp_path: Path) -> None:
    source = Path(multiprocessing.pool.__file__).read_text("utf-8")
    absolute = source.replace("from . ", "from multiprocessing ")
    absolute = absolute.replace("from .", "from multiprocessing.")
    imports = "from multiprocessing import get_context\nimport copied\n"
    copied = f"{imports}{POOL}".replace(
        "multiprocessing.get_context(method).Pool(2)",
        "copied.Pool(2, context=get_context(method))",
    )
    found: list[set[tuple[str, int, str]]] = []
    for folder, target in (("original", POOL), ("copy", copied)):
        trial = Trial(directory=tmp_path / folder)
        trial.directory.mkdir()
        own = [*OWN, trial.write("copied", absolute)]
        trial.ask(mode="record", own=own)
        trial.write("target", target)
        trial.run("target", "fork")
        found.append(
            {(f.replace("copied", "pool"), line, name) for f, line, name in trial.points()}
        )

    assert found[0] == found[1]


# Two workers, one after the other, pass the lines of `work`, in the main or another thread; each
# writes what it passed.
STRUCK = """
import multiprocessing
import os
import sys
import threading


def say(text):
    os.write(1, f"{text}\\n".encode())


def work(number):
    try:
        say(f"{number} before")
        say(f"{number} at")
        say(f"{number} after")
    except Exception as error:
        line = error.__traceback__.tb_lineno
        say(f"{number} {type(error).__module__}.{type(error).__name__} at {line}")
        say(f"{number} traced {sys.gettrace() is not None}")


def in_thread(number):
    thread = threading.Thread(target=work, args=(number,))
    thread.start()
    thread.join()


def main(method, where):
    target = work if where == "main thread" else in_thread
    for number in (1, 2):
        worker = multiprocessing.get_context(method).Process(target=target, args=(number,))
        worker.start()
        worker.join()
        say(f"{number} ended {worker.exitcode}")
"""


@pytest.fixture(params=["main thread", "another thread"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def struck(trial: Trial) -> tuple[str, int]:
    """The file of the module `struck`, and the line between "before" and "after"."""
    file = trial.write("struck", STRUCK)
    line = next(n for n, text in enumerate(STRUCK.splitlines(), 1) if '{number} at"' in text)
    return file, line


def test_a_kill_ends_one_worker_exactly_there(
    trial: Trial, struck: tuple[str, int], method: str, where: str
) -> None:
    file, line = struck
    trial.ask(mode="strike", own=[file], file=file, line=line, effect="kill")
    output = trial.run("struck", method, where)

    (strike,) = trial.events("strike")
    born = strike.data.pop("born")
    assert strike.data == {"file": file, "line": line, "effect": "kill"}
    assert born > 0
    assert output.splitlines() == [
        "1 before",
        f"1 ended {-signal.SIGKILL}",
        *["2 before", "2 at", "2 after", "2 ended 0"],
    ]


def test_a_raise_surfaces_there_and_tracing_is_over(
    trial: Trial, struck: tuple[str, int], method: str, where: str
) -> None:
    file, line = struck
    trial.ask(mode="strike", own=[file], file=file, line=line, effect="raise")
    output = trial.run("struck", method, where)

    assert output.splitlines() == [
        "1 before",
        f"1 poolproof.agent.points.InjectedError at {line}",
        "1 traced False",
        "1 ended 0",
        *["2 before", "2 at", "2 after", "2 ended 0"],
    ]


HUNG = """
import multiprocessing
import os
import select
import threading


def work():
    os.write(1, b"at\\n")


def beside():
    history = os.path.join(os.environ["POOLPROOF_TRIAL"], "history.jsonl")
    while not (os.path.exists(history) and '"strike"' in open(history).read()):
        select.select([], [], [], 0.01)
    os.write(1, b"beside\\n")


def target(where):
    threading.Thread(target=beside, daemon=True).start()
    thread = threading.Thread(target=work)
    if where == "main thread":
        work()
    else:
        thread.start()
        thread.join()


def main(method, where):
    worker = multiprocessing.get_context(method).Process(target=target, args=(where,))
    worker.start()
    input()
    worker.terminate()
    worker.join()
    print("ended", worker.exitcode)
"""


def test_a_hang_stops_that_thread_alone_and_ends_by_sigterm(
    trial: Trial, method: str, where: str
) -> None:
    file = trial.write("hung", HUNG)
    line = next(n for n, text in enumerate(HUNG.splitlines(), 1) if 'b"at' in text)
    trial.ask(mode="strike", own=[file], file=file, line=line, effect="hang")
    with trial.start("hung", method, where) as owner:
        assert owner.stdout is not None
        first = owner.stdout.readline()
        rest, errors = owner.communicate("\n", timeout=50)

    assert [first, rest, errors] == ["beside\n", f"ended {-signal.SIGTERM}\n", ""]
    assert [event.data["effect"] for event in trial.events("strike")] == ["hang"]


CROWD = """
import multiprocessing
import os


def work(barrier):
    barrier.wait()
    os.write(1, b"passed\\n")


def main(method, crowd):
    context = multiprocessing.get_context(method)
    barrier = context.Barrier(int(crowd))
    workers = [context.Process(target=work, args=(barrier,)) for _ in range(int(crowd))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_of_many_workers_that_pass_at_once_one_is_struck(trial: Trial, method: str) -> None:
    file = trial.write("crowd", CROWD)
    line = next(n for n, text in enumerate(CROWD.splitlines(), 1) if "passed" in text)
    trial.ask(mode="strike", own=[file], file=file, line=line, effect="kill")
    output = trial.run("crowd", method, "4")

    assert output.splitlines() == ["passed"] * 3
    assert len(trial.events("strike")) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_grandchildren_are_followed_too(trial: Trial, method: str) -> None:
    """A worker forks a worker: the lines that both pass are recorded for both."""
    source = """
import multiprocessing
import os


def work():
    os.getpid()


def parent():
    work()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()


def main(method):
    worker = multiprocessing.get_context(method).Process(target=parent)
    worker.start()
    worker.join()
"""
    file = trial.write("generations", source)
    trial.ask(mode="record", own=[file])
    trial.run("generations", method)

    passed = [event for event in trial.events("point") if event.data["name"] == "work"]
    assert len({event.pid for event in passed}) == len(passed) == 2


def test_a_replacement_that_a_thread_of_the_owner_forked_is_followed(trial: Trial) -> None:
    """multiprocessing's pool replaces a dead worker from a thread that keeps house."""
    source = """
import multiprocessing
import os
import signal


def main():
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        assert len({pool.apply(os.getpid) for _ in range(3)}) == 3
"""
    trial.write("replaced", source)
    trial.ask(mode="record", own=OWN)
    trial.run("replaced")

    launched = [e.pid for e in trial.events("point") if e.data["name"] == "Popen._launch"]
    assert len(set(launched)) >= 3


@pytest.mark.parametrize("tracer", ["in this thread", "in new threads"])
def test_a_tracer_of_the_target_keeps_working_beside(trial: Trial, tracer: str) -> None:
    source = """
import multiprocessing
import sys
import threading

seen = set()


def theirs(frame, event, arg):
    if frame.f_code.co_name != "work":
        return None
    seen.add(frame.f_lineno)
    return theirs


def work():
    first = 1
    return first + 1


def worker(where):
    if where == "in this thread":
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    print(len(seen), flush=True)


def main(where):
    # Set before the worker is forked, where the worker's own tracer finds it.
    sys.settrace(theirs) if where == "in this thread" else threading.settrace(theirs)
    process = multiprocessing.get_context("fork").Process(target=worker, args=(where,))
    process.start()
    sys.settrace(None)
    process.join()
"""
    file = trial.write("traced", source)
    trial.ask(mode="record", own=[file])
    output = trial.run("traced", tracer)

    mine = {event.data["line"] for event in trial.events("point") if event.data["name"] == "work"}
    assert output == "3\n"
    assert len(mine) == 2


def test_without_points_a_worker_is_not_touched(trial: Trial, method: str) -> None:
    source = """
import multiprocessing
import sys
import threading


def work():
    monitoring = getattr(sys, "monitoring", None)
    tools = monitoring and [monitoring.get_tool(tool) for tool in range(6)]
    tracers = (sys.gettrace(), threading.gettrace())
    print([getattr(tracer, "__module__", None) == "poolproof.agent.tracing" for tracer in tracers])
    print("poolproof" in (tools or ()))


def main(method):
    worker = multiprocessing.get_context(method).Process(target=work)
    worker.start()
    worker.join()
"""
    trial.write("untouched", source)
    output = trial.run("untouched", method)

    assert output == "[False, False]\nFalse\n"
    assert not (trial.directory / "history.jsonl").exists()
