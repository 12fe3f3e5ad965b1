"""Runs that are killed: what they left is cleared, and a run beside them keeps everything of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("unmeasured"),
]

PATIENCE = 60.0

# Each test makes one of everything that outlives a process, says what it is, and waits to be let go.
SUITE = """
import json, os, signal, subprocess, time
from pathlib import Path
import pytest

PLACE = Path(os.environ["PLACE"])

def forked():
    pid = os.fork()
    if not pid:
        os.setsid()
        signal.pause()
    return pid

@pytest.mark.parametrize("number", range(4))
@pytest.mark.resource("shared", mode="read")
def test_hold(isolation, number):
    isolation.dir("data").joinpath("file").write_text("x")
    shared = Path("/dev/shm", isolation.name("memory"))
    shared.touch()
    elsewhere = isolation.own(PLACE / isolation.unique("elsewhere"))
    elsewhere.mkdir()
    executed = subprocess.Popen(["sleep", "600"], start_new_session=True)
    note = {
        "worker": os.getpid(),
        "controller": os.getppid(),
        "paths": [str(isolation.dir("data")), str(shared), str(elsewhere)],
        "port": isolation.port().getsockname()[1],
        "children": [executed.pid, forked()],
    }
    begun = PLACE / f"{number}.begun"
    begun.write_text(json.dumps(note))
    begun.rename(PLACE / f"{number}.note")
    deadline = time.monotonic() + 120
    while not (PLACE / "go").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for pid in note["children"]:
        os.kill(pid, signal.SIGKILL)
    executed.wait()
    os.waitpid(note["children"][1], 0)
"""


@dataclass
class Note:
    """What one test has made, by who is who at that time."""

    worker: Identity
    controller: Identity
    paths: list[Path]
    port: Path
    children: list[Identity]

    @property
    def there(self) -> list[object]:
        files = [path for path in [*self.paths, self.port] if path.exists()]
        return [*files, *(who for who in self.children if procfs.alive(who))]


def who(pid: int) -> Identity:
    found = procfs.identity(pid)
    assert found
    return found


def until(fact: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := fact()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


class Run:
    """A run of the suite with two workers, in a place of its own, with leases where all runs have theirs."""

    def __init__(self, place: Path, home: Path) -> None:
        place.mkdir()
        self.place, self.home = place, home
        (place / "test_suite.py").write_text(SUITE)
        # Only the plugins that matter: each process of a run would load all the others, too.
        plugins = ["-p", "xdist", "-p", "poolproof.pytest_plugin", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", "-q", "-n2", *plugins, "--poolproof=off"]
        settings = {"PLACE": place, "XDG_RUNTIME_DIR": home, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": 1}
        with (place / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--max-worker-restart=2", "test_suite.py"],
                cwd=place,
                env={**os.environ, **{name: str(value) for name, value in settings.items()}},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def notes(self, number: int) -> list[Note]:
        """Return the notes of the tests that hold, as soon as there are so many."""
        until(lambda: len(list(self.place.glob("*.note"))) >= number, "tests that hold")
        return [self._note(path) for path in sorted(self.place.glob("*.note"))]

    def _note(self, path: Path) -> Note:
        data = json.loads(path.read_text())
        ports = self.home / f"poolproof-{os.getuid()}" / "ports"
        return Note(
            worker=who(data["worker"]),
            controller=who(data["controller"]),
            paths=[Path(text) for text in data["paths"]],
            port=ports / str(data["port"]),
            children=[who(pid) for pid in data["children"]],
        )

    def go(self) -> int:
        (self.place / "go").touch()
        return self.process.wait(PATIENCE)

    def output(self) -> str:
        return (self.place / "output").read_text()

    def close(self) -> None:
        (self.place / "go").touch()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def start(tmp_path: Path, home: Path) -> Iterator[Callable[[str], Run]]:
    runs: list[Run] = []

    def begin(name: str) -> Run:
        runs.append(Run(tmp_path / name, home))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()
    reap(home)


def reap(home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "poolproof", "reap"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout


def left(home: Path) -> list[Path]:
    """Return everything below the directory of leases but the two empty directories that stay."""
    found = home.rglob("*")
    return [
        path for path in found if path.name not in {"ports", "locks", f"poolproof-{os.getuid()}"}
    ]


Start = Callable[[str], Run]


def test_of_a_killed_worker_nothing_is_left_and_the_other_worker_keeps_its_own(
    start: Start, home: Path
) -> None:
    run = start("run_a")
    dead, alive = run.notes(2)
    made = alive.there
    os.kill(dead.worker.pid, signal.SIGKILL)
    until(lambda: not procfs.alive(dead.worker), "the death of a worker")
    reap(home)

    assert dead.there == []
    assert alive.there == made
    assert run.go() == 1, run.output()  # the test of the killed worker has failed, and no other
    assert "1 failed, 3 passed" in run.output()
    assert left(home) == []


@pytest.mark.slow
def test_of_a_killed_controller_nothing_is_left_when_its_workers_have_gone(
    start: Start, home: Path
) -> None:
    run = start("run_a")
    notes = run.notes(2)
    os.kill(notes[0].controller.pid, signal.SIGKILL)
    for note in notes:
        until(lambda: not procfs.alive(note.worker), "the end of an abandoned worker")  # noqa: B023
    reap(home)

    assert [note.there for note in notes] == [[], []]
    assert left(home) == []


def test_a_run_that_is_killed_whole_leaves_nothing_and_one_beside_it_is_not_touched(
    start: Start, home: Path
) -> None:
    living, killed = start("run_a"), start("run_b")
    mine, theirs = living.notes(2), killed.notes(2)
    made = [note.there for note in mine]
    for victim in (theirs[0].controller, *(note.worker for note in theirs)):
        os.kill(victim.pid, signal.SIGKILL)
    for note in theirs:
        until(lambda: not procfs.alive(note.worker), "the death of a worker")  # noqa: B023
    said = reap(home)

    assert [note.there for note in theirs] == [[], []]
    assert "ended 2 processes" in said
    assert [note.there for note in mine] == made
    assert all(len(there) == 6 for there in made)
    assert living.go() == 0, living.output()
    assert left(home) == []
