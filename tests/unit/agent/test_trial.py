"""The owner of the pool in one trial: it does what it is told, and journals just what its callers see.

Long because each of the owner's commands is given to a real owner, in a process of its own.
"""

import json
import mmap
import os
import subprocess
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from poolproof import history
from poolproof.agent import journal, trial, work
from poolproof.agent.naming import Factory
from poolproof.history import Event
from tests.chaos.zoo.asyncio_pool import AsyncioPool

pytestmark = pytest.mark.unit

BOUND_S = 10


class Stage:
    """An owner in a thread of this process, and the controller's end of its pipe."""

    def __init__(
        self, directory: Path, pool: Callable[[], Any], jobs: Any = None, **request: Any
    ) -> None:
        (directory / "tmp").mkdir()
        os.mkfifo(directory / "commands")
        self.directory = directory
        self._pipe = os.open(directory / "commands", os.O_RDWR)
        journal.open_at(str(directory / "history.jsonl"))
        asked = {"workers": 2, "adapter": None, "own": (), "describe": False, "alone": True}
        module = types.ModuleType("pools")
        module.__dict__["jobs"] = jobs
        factory = Factory(name="test:make", function=pool, module=module)
        self.owner = trial.Owner(str(directory), {**asked, **request}, factory)
        self.thread = threading.Thread(target=self.owner.run, name="MainOfTheOwner", daemon=True)
        self.thread.start()

    def tell(self, do: str, **arguments: Any) -> None:
        os.write(self._pipe, json.dumps({"do": do, **arguments}).encode() + b"\n")

    def submit(self, *jobs: int, body: str = "echo", **more: Any) -> None:
        specs = [
            {"job": n, "token": f"answer-{n}", "role": "faulted", "body": body, **more}
            for n in jobs
        ]
        self.tell("submit", jobs=specs)

    def events(self) -> list[Event]:
        path = self.directory / "history.jsonl"
        return list(history.read(path)) if path.exists() else []

    def until(self, kind: str, op: str | None = None, job: int | None = None) -> Event:
        """Wait for an event of that kind, op and job, and return it."""
        deadline = time.monotonic() + BOUND_S
        wanted = (kind, op, job)
        while time.monotonic() < deadline:
            for event in self.events():
                if (event.kind, event.op, event.job) == wanted:
                    return event
        raise AssertionError(f"expected {wanted}, got {self.events()}")

    def end(self) -> list[Event]:
        """Let the pipe end, as when the controller is gone."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self.thread.join(BOUND_S)
        assert not self.thread.is_alive()
        return self.events()

    def close(self) -> None:
        self.end()
        self.owner.callers.dismiss()
        self.owner.lines.close()
        os.close(self.owner.commands)
        for thread in (
            threading.enumerate()
        ):  # their last lines go to the history, not to what comes after it
            if thread.name == "poolproof-caller":
                thread.join(BOUND_S)
        journal.open_at(os.devnull)


Play = Callable[..., Stage]
watch_shared_memory = trial._watch_shared_memory


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit hook cannot be taken out again; test_zygote.py shows what it does."""
    monkeypatch.setattr(trial, "_watch_shared_memory", lambda _directory: None)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """Let an owner play with a pool; `start` has been told already."""
    stages: list[Stage] = []

    def begin(pool: Callable[[], Any], **request: Any) -> Stage:
        stages.append(Stage(tmp_path, pool, **request))
        stages[-1].tell("start")
        return stages[-1]

    yield begin
    for stage in stages:
        stage.close()


def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2)


class Odd:
    """A `WorkerPool` that answers at once, with whatever the test has set."""

    def __init__(self, answer: Callable[[Any], Any] = lambda call: call[0](*call[1])) -> None:
        self.answer = answer

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def cancel(self, _handle: Any) -> bool:
        raise LookupError("it cannot be found")

    def submit(self, function: Any, /, *args: Any) -> Any:
        return function, args

    def wait(self, handle: Any, /) -> Any:
        return self.answer(handle)


def brief(events: list[Event]) -> list[tuple[str, str | None, int | None]]:
    return [(event.kind, event.op, event.job) for event in events]


def test_a_whole_life_is_journalled_in_order(play: Play) -> None:
    stage = play(threads)
    stage.submit(1)
    stage.until("ok", "job", 1)
    stage.tell("stop")
    stage.until("ok", "stop")

    told = brief(stage.end())
    assert told[:3] == [("invoke", "start", None), ("ok", "start", None), ("invoke", "submit", 1)]
    assert sorted(told[3:7], key=str) == sorted(
        [
            ("ok", "submit", 1),
            ("started", None, 1),
            ("finished", None, 1),
            ("ok", "job", 1),
        ],
        key=str,
    )
    assert told[7:] == [("invoke", "stop", None), ("ok", "stop", None)]


def test_an_answer_is_told_with_whether_it_is_the_right_one(play: Play) -> None:
    stage = play(threads)
    stage.submit(1)

    assert stage.until("ok", "job", 1).data == {"match": True, "value": "'answer-1'"}


def test_an_error_is_told_by_its_name(play: Play) -> None:
    stage = play(threads)
    stage.submit(1, body="fail")
    told = stage.until("fail", "job", 1)

    assert (told.error, told.message) == ("ValueError", "job 1 fails on purpose")


def test_coroutine_functions_are_submitted_where_they_are_asked_for(play: Play) -> None:
    stage = play(AsyncioPool)
    stage.submit(1, style="coroutine")

    assert stage.until("ok", "job", 1).data["match"] is True


def test_an_argument_that_breaks_travels_beside_the_job(play: Play) -> None:
    seen: list[Any] = []

    def note(call: Any) -> Any:
        seen.append(call[1][1])
        return call[0](*call[1])

    stage = play(lambda: Odd(note))
    stage.submit(1, body="argument-unloadable")
    stage.until("ok", "job", 1)

    assert isinstance(seen[0], work.Unloadable)


def test_a_callback_raises_and_is_witnessed(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    stage = play(threads)
    stage.submit(1, body="callback")
    told = stage.until("effect", job=1)
    stage.tell("stop")
    stage.until("ok", "stop")

    assert told.data["effect"] == "callback"
    assert "its callback raises, on purpose" in caplog.text


def test_a_submit_that_raises_is_indeterminate(play: Play) -> None:
    def refuse(*_: Any) -> Future[Any]:
        raise RuntimeError("full")

    pool = threads()
    pool.submit = refuse  # type: ignore[method-assign,assignment]
    stage = play(lambda: pool)
    stage.submit(1)
    told = stage.until("info", "submit", 1)
    stage.tell("cancel", jobs=[1])

    assert (told.error, told.message) == ("RuntimeError", "full")
    assert ("invoke", "cancel", 1) not in brief(stage.end())


def test_a_start_that_raises_is_told_and_the_owner_goes_on(play: Play) -> None:
    def make() -> Any:
        raise RuntimeError("no room")

    stage = play(make)
    told = stage.until("fail", "start")
    stage.tell("stop")
    stage.tell("sample", label="after")
    stage.until("sample")

    assert told.error == "TargetProblem"
    assert "no room" in str(told.message)
    assert "there is no pool to stop" in [event.message for event in stage.end()]


def test_a_shutdown_that_raises_is_told(play: Play) -> None:
    class Loud(Odd):
        def stop(self) -> None:
            raise RuntimeError("not now")

    stage = play(Loud)
    stage.tell("stop")
    told = stage.until("fail", "stop")

    assert (told.error, told.message) == ("RuntimeError", "not now")


def test_what_breaks_the_script_after_the_start_is_told_as_its_stop(play: Play) -> None:
    stage = play(threads)
    stage.tell("reserve", number="nonsense")

    assert stage.until("fail", "stop").error == "TypeError"


def test_a_pool_has_several_lives(play: Play) -> None:
    stage = play(threads)
    for job in (1, 2):
        stage.submit(job)
        stage.until("ok", "job", job)
        stage.tell("stop")
        stage.tell("start")
    stage.tell("stop")
    told = brief(stage.end())

    assert told.count(("ok", "start", None)) == told.count(("ok", "stop", None)) == 3


def test_an_exit_ends_a_pool_that_was_not_stopped(play: Play) -> None:
    stage = play(threads)
    stage.tell("exit")

    assert brief(stage.end())[-1] == ("ok", "stop", None)


def test_a_reference_describes_the_pool(play: Play) -> None:
    stage = play(threads, describe=True)
    told = stage.until("ok", "start").data

    assert told["adapter"] == "executor"
    assert (
        told["own"][0] == "concurrent.futures"
    )  # multiprocessing comes after it, where it was imported
    assert told["own_paths"][0].endswith("/concurrent/futures/")
    assert {"cancel", "callback"} <= set(told["offers"])
    assert (told["jobs"], told["promises"], told["contract"]) == (0, {}, {})


def test_modules_that_are_none_are_refused_as_the_pools_own(play: Play) -> None:
    stage = play(threads, describe=True, own=("no_such_module",))
    told = stage.until("fail", "start")

    assert told.error == "TargetProblem"
    assert str(told.message).endswith("; --own takes such modules")


class TestOutcomes:
    def test_a_second_outcome_that_differs_is_told_as_well(self, play: Play) -> None:
        answers = iter(["answer-1", "another", "answer-1"])
        stage = play(lambda: Odd(lambda _: next(answers)))
        stage.submit(1)
        stage.until("ok", "job", 1)
        stage.tell("stop")
        stage.until("ok", "stop")
        told = [event.data["value"] for event in stage.end() if event.op == "job"]

        assert told == ["'answer-1'", "'another'"]

    def test_the_same_outcome_again_is_told_once(self, play: Play) -> None:
        stage = play(Odd)
        stage.submit(1)
        stage.until("ok", "job", 1)
        stage.tell("stop")

        assert brief(stage.end()).count(("ok", "job", 1)) == 1

    def test_an_answer_that_cannot_be_shown_is_an_answer(self, play: Play) -> None:
        class Shy:
            def __repr__(self) -> str:
                raise RuntimeError("no")

        stage = play(lambda: Odd(lambda _: Shy()))
        stage.submit(1)

        assert stage.until("ok", "job", 1).data == {
            "match": False,
            "value": "a Shy whose repr raises RuntimeError",
        }

    @pytest.mark.parametrize(("right", "match"), [([1, 2], True), ([1, 3], False)])
    def test_jobs_of_the_pools_own_are_told_by_their_expected_answers(
        self, right: list[int], *, match: bool, play: Play
    ) -> None:
        stage = play(Odd, jobs=[((sorted, [2, 1]), Elements(right))])
        stage.submit(1, body="own")

        assert stage.until("ok", "job", 1).data["match"] is match

    def test_an_answer_that_cannot_be_compared_is_a_wrong_one(self, play: Play) -> None:
        stage = play(Odd, jobs=[((sorted, [2, 1]), Elements([1]))])
        stage.submit(1, body="own")

        assert stage.until("ok", "job", 1).data["match"] is False


class Elements:
    """Compares as arrays do: element by element, and never with one of another length."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, elements: list[int]) -> None:
        self.elements = elements

    def __eq__(self, other: object) -> Any:
        assert isinstance(other, list)
        return Truths([a == b for a, b in zip(self.elements, other, strict=True)])


class Truths:
    def __init__(self, truths: list[bool]) -> None:
        self.truths = truths

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def all(self) -> bool:
        return all(self.truths)


class TestCancelling:
    def test_a_job_that_waits_is_cancelled(self, play: Play, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        writer = os.open(gate, os.O_RDWR)
        stage = play(lambda: ThreadPoolExecutor(1))
        stage.submit(1, gate=str(gate))
        stage.until("started", job=1)
        stage.submit(2)
        stage.tell("cancel", jobs=[1, 2, 99])
        answers = [stage.until("ok", "cancel", job).data["cancelled"] for job in (1, 2)]
        gate.unlink()
        os.close(writer)

        assert answers == [False, True]
        assert stage.until("fail", "job", 2).error == "CancelledError"

    def test_a_pool_that_raises_instead_is_quoted(self, play: Play) -> None:
        stage = play(Odd)
        stage.submit(1)
        stage.tell("cancel", jobs=[1])
        told = stage.until("fail", "cancel", 1)

        assert (told.error, told.message) == ("LookupError", "it cannot be found")


class TestHandover:
    @pytest.fixture
    def full(self, play: Play) -> Stage:
        """A pool of one, with a job that runs and one that waits."""
        work._loop_gates.clear()
        stage = play(lambda: AsyncioPool(1))
        stage.submit(1, style="coroutine", gate="loop:test")
        stage.until("started", job=1)
        stage.submit(2, style="coroutine")
        stage.until("ok", "submit", 2)
        return stage

    @pytest.mark.parametrize("turns", [0, 3])
    def test_a_job_is_cancelled_so_many_turns_after_the_other_ends(
        self, turns: int, full: Stage
    ) -> None:
        full.tell("handover", gate="loop:test", job=2, turns=turns)
        told = full.until("effect", job=2)

        assert told.data == {"effect": "cancelled-at-turn", "turns": turns}
        full.until("ok", "cancel", 2)
        full.until("ok", "job", 1)

    def test_a_stall_puts_both_into_one_turn(self, full: Stage) -> None:
        full.tell("handover", gate="loop:test", job=2, turns=None)
        told = full.until("effect", job=2)

        assert told.data["effect"] == "stalled"
        assert told.data["ms"] >= trial.STALL_SECONDS * 1000
        assert full.until("fail", "job", 2).error == "CancelledError"

    def test_without_a_job_to_cancel_the_gate_is_opened(self, full: Stage) -> None:
        full.tell("handover", gate="loop:test", job=99, turns=0)

        full.until("ok", "job", 1)
        full.until("ok", "job", 2)
        assert ("invoke", "cancel", 99) not in brief(full.events())


class TestScarcity:
    def test_what_a_limit_forbids_is_witnessed(
        self, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[int] = []

        def scarce(path: str, flags: int) -> int:
            if len(opened) == 2:
                raise OSError(24, "Too many open files")
            opened.append(real(path, flags))
            return opened[-1]

        stage = play(threads)
        stage.until("ok", "start")
        real = os.open
        with monkeypatch.context() as scarcity:
            scarcity.setattr("os.open", scarce)
            stage.owner.probe(size=10, files=5)
        kept = list(stage.owner.kept)
        stage.tell("release")
        told = stage.until("effect")
        stage.end()

        assert kept == opened
        assert told.data == {"effect": "refused"}
        assert (told.error, told.message) == ("OSError", "[Errno 24] Too many open files")
        assert not any(Path(f"/proc/self/fd/{number}").exists() for number in kept)

    def test_callers_are_ready_before_they_are_needed(self, play: Play) -> None:
        stage = play(threads)
        before = callers()
        stage.tell("reserve", count=3)
        stage.submit(1, 2, 3)
        for job in (1, 2, 3):
            stage.until("ok", "job", job)

        assert callers() - before == 3


def callers() -> int:
    return sum(thread.name == "poolproof-caller" for thread in threading.enumerate())


class TestSamples:
    def test_a_sample_tells_what_the_owner_holds(self, play: Play, tmp_path: Path) -> None:
        stage = play(threads)
        (tmp_path / "tmp" / "left").touch()
        ready = threading.Event()
        named = threading.Thread(target=ready.wait, name="left-behind")
        named.start()
        stage.tell("sample", label="before")
        told = stage.until("sample").data
        ready.set()
        named.join()

        assert told["label"] == "before"
        assert told["files"] == [str(tmp_path / "tmp" / "left")]
        assert "left-behind" in told["threads"]
        assert not any(name.startswith(("poolproof", "Main")) for name in told["threads"])
        assert all(isinstance(count, int) for count in told["fds"].values())

    def test_the_owners_own_descriptors_do_not_count(self) -> None:
        held = os.open(os.devnull, os.O_RDONLY)
        with_it, without = trial._descriptors(set()), trial._descriptors({held})
        os.close(held)

        assert with_it["/dev/null"] - without.get("/dev/null", 0) == 1

    def test_processes_below_the_root_are_told(self) -> None:
        assert all(process["cmdline"] for process in trial._processes())

    @pytest.mark.parametrize(("alone", "charged"), [(True, True), (False, False)])
    def test_shared_memory_that_nobody_maps_is_charged_to_who_is_alone(
        self, *, alone: bool, charged: bool, play: Play
    ) -> None:
        name = f"poolproof-test-{os.getpid()}"
        stage = play(threads, alone=alone)
        stage.until("ok", "start")
        stage.owner._shared_memory()
        subprocess.run(["touch", f"/dev/shm/{name}"], check=True)
        found = stage.owner._shared_memory()
        Path("/dev/shm", name).unlink()

        assert (name in found) is charged

    def test_shared_memory_that_the_trial_noted_as_made_is_charged_to_it(
        self, play: Play, tmp_path: Path
    ) -> None:
        name = f"poolproof-test-{os.getpid()}"
        stage = play(threads, alone=False)
        stage.until("ok", "start")
        stage.owner._shared_memory()
        Path("/dev/shm", name).touch()
        (tmp_path / "shm").write_text(f"another\n{name}\n")
        found = stage.owner._shared_memory()
        Path("/dev/shm", name).unlink()

        assert name in found

    def test_shared_memory_that_the_trial_was_seen_to_map_is_charged_to_it(
        self, play: Play
    ) -> None:
        segment = Path("/dev/shm", f"poolproof-test-{os.getpid()}")
        stage = play(threads, alone=False)
        stage.until("ok", "start")
        stage.owner._shared_memory()
        segment.write_bytes(b"x" * mmap.PAGESIZE)
        with segment.open("r+b") as file, mmap.mmap(file.fileno(), 0):
            stage.tell("stop")
            stage.until("ok", "stop")
        found = stage.owner._shared_memory()
        segment.unlink()

        assert segment.name in found


@pytest.mark.parametrize(
    ("event", "arguments", "noted"),
    [
        ("open", ("/dev/shm/mine", None, os.O_CREAT | os.O_RDWR), "mine\n"),
        ("open", ("/dev/shm/theirs", None, os.O_RDWR), ""),
        ("open", ("/tmp/other", None, os.O_CREAT), ""),
        ("open", (7, "w", os.O_CREAT), ""),
        ("os.truncate", ("/dev/shm/by-name", 10), ""),
        ("os.truncate", (2**22 + 1, 10), ""),
        ("os.listdir", ("/dev/shm",), ""),
    ],
)
def test_only_what_is_made_in_shared_memory_is_noted(
    event: str,
    arguments: tuple[Any, ...],
    noted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (hook,) = captured(tmp_path, monkeypatch)
    hook(event, arguments)
    notes = tmp_path / "shm"

    assert (notes.read_text() if notes.exists() else "") == noted


def test_what_shm_open_made_is_noted_when_it_is_given_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hook,) = captured(tmp_path, monkeypatch)
    segment = Path("/dev/shm", f"poolproof-test-{os.getpid()}")
    with segment.open("wb") as file:
        segment.unlink()
        hook("os.truncate", (file.fileno(), 10))

    assert (tmp_path / "shm").read_text().startswith(segment.name)


def test_a_note_that_cannot_be_written_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hook,) = captured(tmp_path / "gone", monkeypatch)
    hook("open", ("/dev/shm/mine", None, os.O_CREAT))

    assert not (tmp_path / "gone").exists()


def captured(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., None]]:
    """The audit hook, not set: it could not be taken out again, and in it no coverage is measured."""
    hooks: list[Callable[..., None]] = []
    monkeypatch.setattr("sys.addaudithook", hooks.append)
    watch_shared_memory(str(directory))
    return hooks


def test_the_owner_ends_when_the_controller_is_gone(play: Play) -> None:
    stage = play(threads)
    stage.until("ok", "start")

    assert brief(stage.end())[-1] == ("ok", "stop", None)


def test_the_owner_ends_when_it_is_told_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path, threads)
    stage.tell("exit")
    stage.thread.join(BOUND_S)
    ended = not stage.thread.is_alive()
    stage.close()

    assert ended
    assert stage.events() == []
