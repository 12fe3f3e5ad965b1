"""A host from inside: the keeper, the zygote and a trial, which all end in peace when they are told to."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poolproof import history
from poolproof.history import Event
from poolproof.watch import procfs

pytestmark = pytest.mark.integration

BOUND_S = 20


class Host:
    """A keeper in a process of its own, and the controller's ends of what holds it."""

    asked = 0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        theirs, self.control = socket.socketpair()
        lifeline, self.life = os.pipe()
        self.control.settimeout(BOUND_S)
        command = ["-m", "poolproof.agent.keeper", str(lifeline), str(theirs.fileno())]
        self.keeper = subprocess.Popen(
            [sys.executable, *command], pass_fds=(lifeline, theirs.fileno()), cwd=directory
        )
        os.close(lifeline)
        theirs.close()
        self.answers = self.control.makefile("rb")

    def ask(self, do: str, **request: Any) -> Any:
        self.asked += 1
        request |= {"do": do, "asked": self.asked}
        self.control.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(self.answers.readline())
        assert reply.pop("asked") == self.asked
        return reply

    def prepare(self, name: str) -> Any:
        return self.ask("prepare", name=name, cwd=str(self.directory))

    def close(self) -> int:
        """Let the zygote's connection end, and with it the zygote; return how the keeper ended."""
        self.answers.close()
        self.control.close()
        code = self.keeper.wait(BOUND_S)
        if self.life >= 0:
            os.close(self.life)
            self.life = -1
        return code


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


def test_it_tells_its_version(host: Host) -> None:
    assert host.ask("greet") == {"version": sys.version.split()[0]}


def test_a_target_that_is_found_leaves_one_thread(host: Host) -> None:
    assert host.prepare("concurrent.futures.ThreadPoolExecutor") == {"threads": 1}


def test_a_target_that_is_not_found_is_a_problem(host: Host) -> None:
    assert "no_such_module" in host.prepare("no_such_module:make")["problem"]


def test_a_target_whose_import_ends_the_interpreter_is_a_problem(host: Host) -> None:
    (host.directory / "leaving.py").write_text("import sys\nsys.exit('not here')\n")
    told = host.prepare("leaving:make")["problem"]

    assert "SystemExit" in told
    assert "not here" in told


def test_a_directory_that_is_gone_is_a_problem(host: Host) -> None:
    told = host.ask("prepare", name="os:getcwd", cwd="/nowhere/at/all")["problem"]

    assert told.startswith("importing os:getcwd raised FileNotFoundError: ")


def test_no_problem_is_told_at_any_length(host: Host) -> None:
    (host.directory / "wordy.py").write_text("raise RuntimeError('x' * 100_000)\n")

    assert len(host.prepare("wordy:make")["problem"]) <= 4000


def test_nothing_can_be_forked_before_a_target_is_prepared(host: Host) -> None:
    assert host.ask("fork", trial="") == {"problem": "nothing is prepared"}


def test_modules_are_preloaded_and_those_that_fail_passed_over(host: Host) -> None:
    assert host.ask("preload", modules=["no_such_module", "wave"]) == {"threads": 1}


@pytest.mark.parametrize(
    ("end", "code"),
    [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", 128 + 9)],
    ids=["exit", "signal"],
)
def test_the_keeper_ends_as_its_zygote_did(tmp_path: Path, end: str, code: int) -> None:
    host = Host(tmp_path)
    (tmp_path / "abrupt.py").write_text(f"import os\n{end}\n")
    host.control.sendall(
        json.dumps({"do": "prepare", "name": "abrupt:make", "cwd": str(tmp_path)}).encode() + b"\n"
    )

    assert host.answers.readline() == b""
    assert host.close() == code


def test_the_end_of_the_lifeline_ends_everything(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.ask("greet")
    below = [procfs.identity(pid) for pid in procfs.descendants(host.keeper.pid)]
    os.close(host.life)
    host.life = -1

    assert host.keeper.wait(BOUND_S) == 0
    assert len(below) == 1
    assert not any(one and procfs.alive(one) for one in below)
    host.close()


class Trial:
    """A trial forked by a host, and the controller's end of its pipe."""

    def __init__(self, host: Host, name: str) -> None:
        self.directory = host.directory / name
        (self.directory / "tmp").mkdir(parents=True)
        os.mkfifo(self.directory / "commands")
        self._pipe = os.open(self.directory / "commands", os.O_RDWR)
        asked = {"workers": 2, "adapter": None, "own": (), "describe": False, "alone": True}
        self.root = host.ask("fork", trial=str(self.directory), **asked)["root"]

    def tell(self, do: str, **arguments: Any) -> None:
        os.write(self._pipe, json.dumps({"do": do, **arguments}).encode() + b"\n")

    def end(self) -> list[Event]:
        """Wait until its root has left, and return its history."""
        deadline = time.monotonic() + BOUND_S
        while (found := procfs.stat(self.root)) is not None and found.state != "Z":
            assert time.monotonic() < deadline
        os.close(self._pipe)
        return list(history.read(self.directory / "history.jsonl"))


@pytest.fixture
def pools(host: Host) -> Host:
    (host.directory / "pools.py").write_text(
        "import os, subprocess, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def make(workers):\n"
        "    print('built in', os.environ['TMPDIR'], flush=True)\n"
        "    subprocess.Popen(['sh', '-c', 'sleep 0.01 &'])\n"
        "    return ThreadPoolExecutor(workers)\n"
    )
    host.prepare("pools:make")
    return host


def test_a_trial_runs_to_its_end_and_its_root_buries_all_of_it(pools: Host) -> None:
    trial = Trial(pools, "one")
    for do in ("start", "stop", "exit"):
        trial.tell(do)
    told = trial.end()
    deaths = [event.data for event in told if event.kind == "death"]
    owner = next(event.pid for event in told if event.kind == "invoke")

    assert [(e.kind, e.op) for e in told if e.op] == [
        ("invoke", "start"),
        ("ok", "start"),
        ("invoke", "stop"),
        ("ok", "stop"),
    ]
    assert {"child": owner, "status": 0, "orphan": False} in deaths
    assert [death["orphan"] for death in deaths].count(True) >= 1


def test_a_trial_has_a_temporary_directory_and_a_log_of_its_own(pools: Host) -> None:
    trial = Trial(pools, "one")
    for do in ("start", "stop", "exit"):
        trial.tell(do)
    trial.end()

    assert (trial.directory / "output.log").read_text() == f"built in {trial.directory}/tmp\n"


def test_what_breaks_the_owner_itself_is_told_before_it_ends(pools: Host) -> None:
    trial = Trial(pools, "one")
    trial.tell("sample", nonsense=1)
    told = trial.end()
    (note,) = (event for event in told if event.kind == "note")
    (death,) = (event.data for event in told if event.kind == "death")

    assert note.error == "TypeError"
    assert str(note.message).startswith("the owner's main thread ended: ")
    assert os.waitstatus_to_exitcode(death["status"]) == 1


SEGMENTS = """
import os
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory

def make(workers):
    held = SharedMemory(create=True, size=10, name={name!r})
    held.close()
    held.unlink()
    os.close(os.open("/dev/shm/{name}-file", os.O_CREAT | os.O_RDWR))
    os.unlink("/dev/shm/{name}-file")
    os.close(os.open("/dev/null", os.O_CREAT | os.O_RDWR))
    return ThreadPoolExecutor(workers)
"""


def test_what_a_trial_makes_of_shared_memory_is_noted(host: Host) -> None:
    name = f"poolproof-test-{os.getpid()}"
    (host.directory / "segments.py").write_text(SEGMENTS.format(name=name))
    host.prepare("segments:make")
    trial = Trial(host, "one")
    for do in ("start", "stop", "exit"):
        trial.tell(do)
    told = trial.end()

    assert ("ok", "start") in [(event.kind, event.op) for event in told]
    assert set((trial.directory / "shm").read_text().split()) == {name, f"{name}-file"}


def test_a_trial_that_lives_in_shared_memory_notes_nothing_of_its_own() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        host = Host(Path(directory))
        (host.directory / "pools.py").write_text(
            "import tempfile\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def make(workers):\n"
            "    tempfile.TemporaryFile().close()\n"
            "    return ThreadPoolExecutor(workers)\n"
        )
        host.prepare("pools:make")
        trial = Trial(host, "one")
        for do in ("start", "stop", "exit"):
            trial.tell(do)
        told = trial.end()
        host.close()

        assert [(e.kind, e.op) for e in told if e.op][-1] == ("ok", "stop"), told
        assert not (trial.directory / "shm").exists()


def test_trials_are_apart(pools: Host) -> None:
    trials = [Trial(pools, name) for name in ("one", "two")]
    for trial in trials:
        trial.tell("exit")
    roots = [{event.pid for event in trial.end() if event.kind == "death"} for trial in trials]

    assert roots == [{trial.root} for trial in trials]
