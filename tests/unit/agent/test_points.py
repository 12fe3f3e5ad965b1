"""Crash points: what is recorded, who is struck, and which part a process plays."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from poolproof.agent import journal, points, tracing
from poolproof.transport import zygote

pytestmark = pytest.mark.unit

FILE = "/somewhere/pool/worker.py"


def compiled(file: str = FILE, lines: int = 3) -> CodeType:
    """Code of a function that has `lines` lines, the first of them 2."""
    module = compile("def work():\n" + "    print()\n" * lines, file, "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, CodeType))


class Journalled:
    """What was written to the journal, in place of a file."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, kind: str, **fields: Any) -> None:
        self.lines.append((kind, fields.get("data", fields)))


@pytest.fixture
def journalled(monkeypatch: pytest.MonkeyPatch) -> Journalled:
    written = Journalled()
    monkeypatch.setattr(journal, "write", written)
    return written


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the effects that were had, in place of the effects."""
    had: list[str] = []
    for name in ("kill", "raise", "hang"):
        monkeypatch.setitem(points._EFFECTS, name, lambda *_, name=name: had.append(name))
    return had


@pytest.mark.parametrize(
    ("file", "own", "wanted"),
    [
        ("/a/pool/worker.py", ["/a/pool/"], True),
        ("/a/pool/deep/down.py", ["/a/pool/"], True),
        ("/a/pool2/worker.py", ["/a/pool/"], False),
        ("/a/pool.py", ["/a/pool.py"], True),
        ("/a/pool.pyx", ["/a/pool.py"], False),
        ("<string>", ["/a/pool.py"], False),
        (FILE, [], False),
    ],
)
def test_code_is_wanted_if_it_lies_within_own(file: str, own: list[str], *, wanted: bool) -> None:
    recorder = points.Recorder(own)

    assert [recorder.wants(compiled(file)) for _ in "twice"] == [wanted] * 5


def test_poolproof_is_own_only_where_it_is_named() -> None:
    """Our own stack is swept when it is the target; what looks on never is."""
    everything = points.Recorder(["/"])
    ours = points.Recorder(points.own_paths(["poolproof.transport"]))

    assert not everything.wants(points.Recorder.wants.__code__)
    assert not everything.wants(zygote.Zygote.serve.__code__)
    assert everything.wants(test_poolproof_is_own_only_where_it_is_named.__code__)
    assert ours.wants(zygote.Zygote.serve.__code__)
    assert not ours.wants(points.Recorder.wants.__code__)


def test_a_line_is_recorded_once_in_a_process(journalled: Journalled) -> None:
    recorder = points.Recorder(["/"])
    for line in (2, 3, 2):
        recorder.passed(compiled(), line)

    place = {"file": FILE, "name": "work", "body": False}
    assert journalled.lines == [("point", {**place, "line": line}) for line in (2, 3)]


def test_a_line_is_recorded_again_in_a_forked_process(journalled: Journalled) -> None:
    recorder = points.Recorder(["/"])
    recorder.passed(compiled(), 2)
    recorder.renew()
    recorder.passed(compiled(), 2)

    assert len(journalled.lines) == 2


@pytest.mark.parametrize("source", ["x = 1", "class Pool:\n    x = 1"])
def test_what_runs_on_import_is_told_from_functions(source: str, journalled: Journalled) -> None:
    code = compile(source, FILE, "exec")
    nested = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    points.Recorder(["/"]).passed(nested[0] if nested else code, 1)

    ((_, data),) = journalled.lines
    assert data["body"] is True


def striker(directory: Path, effect: str = "kill") -> points.Striker:
    return points.Striker(FILE, 3, effect, str(directory / "struck"))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (compiled(), True),
        (compiled(lines=1), False),
        (compiled("/elsewhere/pool/worker.py"), False),
    ],
    ids=["holds the line", "ends before it", "another file"],
)
def test_a_striker_wants_only_code_that_holds_its_line(
    tmp_path: Path, code: CodeType, *, wanted: bool
) -> None:
    waiting = striker(tmp_path)

    assert [waiting.wants(code), waiting.wants(code)] == [wanted, wanted]


@pytest.mark.parametrize("effect", ["kill", "raise", "hang"])
def test_a_strike_is_journalled_and_done_once(
    tmp_path: Path, effect: str, journalled: Journalled, effects: list[str]
) -> None:
    waiting = striker(tmp_path, effect)
    for line in (2, 3, 3, 4):
        waiting.passed(compiled(), line)

    struck = {"file": FILE, "line": 3, "effect": effect, "born": journal.born()}
    assert journalled.lines == [("strike", struck)]
    assert effects == [effect]


def test_only_one_process_of_a_trial_is_struck(
    tmp_path: Path, journalled: Journalled, effects: list[str]
) -> None:
    first, second = striker(tmp_path), striker(tmp_path)
    second.passed(compiled(), 3)
    first.passed(compiled(), 3)

    assert effects == ["kill"]
    assert len(journalled.lines) == 1


def test_after_a_strike_nothing_is_wanted_not_even_after_a_fork(
    tmp_path: Path, journalled: Journalled, effects: list[str]
) -> None:
    waiting = striker(tmp_path)
    waiting.passed(compiled(), 3)
    waiting.renew()

    assert not waiting.wants(compiled())
    assert len(journalled.lines) == len(effects) == 1


def test_a_strike_that_cannot_be_claimed_is_noted_and_left(
    tmp_path: Path, journalled: Journalled, effects: list[str]
) -> None:
    striker(tmp_path / "gone").passed(compiled(), 3)

    ((kind, fields),) = journalled.lines
    assert (kind, fields["error"]) == ("note", "FileNotFoundError")
    assert fields["message"].startswith("could not claim the crash point: ")
    assert effects == []


def test_raise_says_where() -> None:
    with pytest.raises(points.InjectedError, match=r"^injected at /a/b\.py:7$"):
        points._raise("/a/b.py", 7)


def test_kill_is_a_sigkill_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    points._kill(FILE, 3)

    assert killed == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.parametrize(
    "asked",
    [{}, {"mode": "strike"}, {"mode": "strike", "effect": "explode"}, {"mode": "rec"}],
    ids=repr,
)
def test_what_is_asked_for_must_be_known(asked: dict[str, Any]) -> None:
    expected = r"^expected points\.json to record or to strike \(kill, raise, hang\), got "
    with pytest.raises(ValueError, match=expected):
        points.watcher(asked, "/trial")


def test_an_owner_without_points_sets_no_fork_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks: list[object] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **hook: hooks.append(hook))
    points.arm_owner(str(tmp_path))

    assert hooks == []


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("python -c|from multiprocessing.resource_tracker import main;main(5)", "servant"),
        ("python -B -c|from loky.backend.resource_tracker import main; main(5, False)", "servant"),
        ("python -c|from billiard.semaphore_tracker import main;main(3)", "servant"),
        ("python -c|from multiprocessing.forkserver import main; main(3, 4, [])", "forkserver"),
        ("python -c|from multiprocessing.spawn import spawn_main; spawn_main()", "worker"),
        ("python -m|joblib.externals.loky.backend.popen_loky_posix|--pipe|13", "worker"),
        ("python -c", "worker"),
        ("python -c|", "worker"),
        ("python -c|from", "worker"),
        ("python|worker.py", "worker"),
        ("python", "worker"),
    ],
)
def test_the_part_of_a_process_is_told_from_its_command_line(command: str, part: str) -> None:
    head, *tail = command.split("|")

    assert points.part([*head.split(), *tail]) == part


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[str]]:
    """What `arm_spawned` does, step by step, in a process that was begun with this code."""

    def arm(code: str, asked: str) -> list[str]:
        done: list[str] = []
        monkeypatch.setattr(os, "register_at_fork", lambda **_: done.append("fork hook"))
        monkeypatch.setattr(tracing, "follow", lambda _: done.append("follow"))
        monkeypatch.setattr(journal, "write", lambda kind, **_: done.append(kind))
        (tmp_path / "points.json").write_text(asked)
        points.arm_spawned(str(tmp_path), ["python", "-c", code])
        return done

    return arm


RECORD = '{"mode": "record", "own": ["/"]}'


@pytest.mark.parametrize(
    ("module", "done"),
    [
        ("spawn", ["fork hook", "follow"]),
        ("forkserver", ["fork hook"]),
        ("resource_tracker", []),
    ],
)
def test_each_part_is_armed_as_it_needs(
    armed: Callable[[str, str], list[str]], module: str, done: list[str]
) -> None:
    assert armed(f"from multiprocessing.{module} import main; main()", RECORD) == done


@pytest.mark.parametrize("asked", ["", "[]", "{}", '{"mode": "record"}'])
def test_a_worker_starts_whatever_is_asked(
    armed: Callable[[str, str], list[str]], asked: str
) -> None:
    assert armed("work()", asked) == ["note"]


def test_lines_that_cannot_be_followed_are_noted(
    monkeypatch: pytest.MonkeyPatch, journalled: Journalled
) -> None:
    def broken(_watcher: object) -> None:
        raise RuntimeError("no tracer here")

    monkeypatch.setattr(tracing, "follow", broken)
    points._Arms(points.Recorder([])).take()

    message = "could not follow the lines of this process: no tracer here"
    assert journalled.lines == [("note", {"error": "RuntimeError", "message": message})]


def test_a_hang_lets_others_run_handles_signals_and_ends_by_sigterm() -> None:
    program = (
        "import os, signal, threading\n"
        "from poolproof.agent import points\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'handled\\n'))\n"
        "threading.Thread(target=os.write, args=(1, b'beside\\n')).start()\n"
        "points._hang('file', 1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        said = [output.readline()]
        for _ in range(3):
            process.send_signal(signal.SIGUSR1)
            said.append(output.readline())
        process.terminate()

        assert process.wait() == -signal.SIGTERM
    assert said == [b"beside\n", *[b"handled\n"] * 3]
