"""The jobs that a trial submits: each body does its harm, and the wrapper alone witnesses it."""

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poolproof import history
from poolproof.agent import journal, work

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "history.jsonl"
    journal.open_at(os.devnull)


def spec(path: Path, body: str = "echo", **more: Any) -> work.Spec:
    return {"journal": str(path), "job": 4, "body": body, "token": "answer-4", **more}


def seen(path: Path) -> list[str]:
    return [event.kind for event in history.read(path)]


def effects(path: Path) -> list[str]:
    return [event.data["effect"] for event in history.read(path) if event.kind == "effect"]


def run(job: work.Spec, *, style: str) -> Any:
    if style == "plain":
        return work.run(job)
    return asyncio.run(work.run_coroutine(job))


BOTH = pytest.mark.parametrize("style", ["plain", "coroutine"])


@BOTH
@pytest.mark.parametrize("body", ["echo", "argument-unpicklable", "argument-unloadable"])
def test_a_job_returns_its_own_answer(body: str, style: str, path: Path) -> None:
    assert run(spec(path, body), style=style) == "answer-4"
    assert seen(path) == ["started", "finished"]


@BOTH
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("fail", ValueError),
        ("sysexit", SystemExit),
        ("interrupt", KeyboardInterrupt),
        ("exception-unpicklable", work.UnpicklableError),
        ("exception-unloadable", work.UnloadableError),
    ],
)
def test_a_job_that_raises_is_witnessed_and_lets_it_pass(
    body: str, error: type[BaseException], style: str, path: Path
) -> None:
    with pytest.raises(error):
        run(spec(path, body), style=style)
    last = list(history.read(path))[-1]

    assert seen(path) == ["started", "raised"]
    assert (last.job, last.error) == (4, error.__name__)


def test_who_starts_a_job_tells_who_it_is(path: Path) -> None:
    work.run(spec(path))
    started = next(history.read(path))

    assert (started.pid, started.job) == (os.getpid(), 4)
    assert started.data == {"born": journal.born()}


def test_a_job_can_end_its_process_without_a_word(path: Path) -> None:
    program = "import sys; from poolproof.agent import work; work.run(eval(sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", program, repr(spec(path, "exit"))], check=False)

    assert ended.returncode == 17
    assert seen(path) == ["started"]


def test_every_body_of_a_fault_is_known() -> None:
    assert set(work.ARGUMENTS) < set(work.BODIES)


@pytest.mark.parametrize("body", ["result-unpicklable", "exception-unpicklable"])
def test_what_cannot_be_pickled_says_so_when_it_is_tried(body: str, path: Path) -> None:
    try:
        carried = work.run(spec(path, body))
    except work.UnpicklableError as error:
        carried = error
    before = effects(path)

    with pytest.raises(TypeError, match=r"^job 4: .*cannot be pickled, on purpose$"):
        pickle.dumps(carried)
    assert (before, effects(path)) == ([], ["pickle"])


@pytest.mark.parametrize("body", ["result-unloadable", "exception-unloadable"])
def test_what_cannot_be_unpickled_is_pickled_well(body: str, path: Path) -> None:
    try:
        carried = work.run(spec(path, body))
    except work.UnloadableError as error:
        carried = error
    frozen = pickle.dumps(carried)
    before = effects(path)

    with pytest.raises(ValueError, match=r"^job 4: cannot be unpickled, on purpose$"):
        pickle.loads(frozen)
    assert (before, effects(path)) == ([], ["unpickle"])


@pytest.mark.parametrize(
    ("body", "error"), [("argument-unpicklable", TypeError), ("argument-unloadable", ValueError)]
)
def test_an_argument_that_cannot_be_carried(body: str, error: type[Exception], path: Path) -> None:
    argument = work.ARGUMENTS[body](spec(path, body))

    with pytest.raises(error):
        pickle.loads(pickle.dumps(argument))


def test_a_big_answer_is_as_big_as_asked_for_and_its_own(path: Path) -> None:
    mine, other = spec(path, "big", size=1000), spec(path, "big", size=1000)
    other["token"] = "answer-5"
    answer = work.run(mine)

    assert len(answer) == 1000
    assert work.matches(mine, answer)
    assert not work.matches(other, answer)
    assert list(history.read(path))[-1].data == {"answer": "bytes", "size": 1000}


def test_an_answer_matches_only_its_own_job(path: Path) -> None:
    assert work.matches(spec(path), "answer-4")
    assert not work.matches(spec(path), "answer-5")
    assert not work.matches(spec(path), None)


@pytest.mark.parametrize("body", ["allocate", "open-file"])
def test_what_asks_for_something_scarce_gives_it_back(body: str, path: Path) -> None:
    journal.open_at(str(path))
    journal.write("note")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path cannot count itself out

    assert work.run(spec(path, body, size=1 << 20)) == "answer-4"
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


class TestGates:
    def test_a_job_waits_until_the_gate_is_opened(self, path: Path, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        writer = os.open(gate, os.O_RDWR)
        waiting = threading.Thread(target=work.run, args=(spec(path, gate=str(gate)),))
        waiting.start()
        while not path.exists() or seen(path) != ["started"]:
            pass
        gate.unlink()
        os.close(writer)
        waiting.join(10)

        assert seen(path) == ["started", "finished"]

    @BOTH
    def test_an_open_gate_is_passed(self, style: str, path: Path, tmp_path: Path) -> None:
        assert run(spec(path, gate=str(tmp_path / "none")), style=style) == "answer-4"

    def test_a_gate_on_the_loop_stops_no_other(self, path: Path) -> None:
        async def scenario() -> list[str]:
            waiting = asyncio.create_task(work.run_coroutine(spec(path, gate="loop:here")))
            await asyncio.sleep(0)
            await work.run_coroutine(spec(path))
            before = seen(path)
            work.open_loop_gate("loop:here")
            await waiting
            return before

        before = asyncio.run(scenario())

        assert before == ["started", "started", "finished"]
        assert seen(path).count("finished") == 2
