"""However a run is cut short, nothing of it stays, and nothing of any other run is touched."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.commands import Command, until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]


def busy(folder: Path) -> Command:
    """Start a check, and return it when it is in the middle of its faults."""
    (folder / "leases").mkdir(parents=True, exist_ok=True)
    out = folder / "out"
    command = Command(
        *("check", "multiprocessing.Pool", "--crash-points", "off", "--out", str(out)),
        cwd=folder,
        XDG_RUNTIME_DIR=str(folder / "leases"),
    )
    until(lambda: len(list(out.glob("trials/*/history.jsonl"))) > 6)
    assert command.process.poll() is None
    return command


def held(folder: Path) -> list[str]:
    """Return what is in the directory of leases."""
    return [path.name for path in folder.glob("leases/*/*")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def live(place: Path) -> Iterator[Command]:
    """A run that goes on, stopped in the middle of its faults, while others come and go."""
    command = busy(place)
    command.signal(signal.SIGSTOP)
    yield command
    command.signal(signal.SIGCONT)
    command.signal(signal.SIGTERM)
    assert (command.end().code, held(place)) == (143, [])


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "poolproof: interrupted; everything that was started has been ended"),
        (signal.SIGTERM, 143, "poolproof: terminated; everything that was started has been ended"),
    ],
)
def test_an_interrupted_run_ends_all_that_it_started(
    number: signal.Signals, code: int, said: str, tmp_path: Path
) -> None:
    command = busy(tmp_path)
    assert held(tmp_path)

    command.signal(number)
    ended = command.end()

    assert (ended.code, ended.left, held(tmp_path)) == (code, [], [])
    assert ended.err.splitlines()[-1] == said


def test_a_killed_controller_takes_all_its_processes_with_it(tmp_path: Path) -> None:
    command = busy(tmp_path)

    command.signal(signal.SIGKILL)
    assert command.end().code == -signal.SIGKILL
    until(lambda: not command.processes())

    assert held(tmp_path), "the lease stays, for the next run to see"


@pytest.mark.parametrize("keepers_end", [signal.SIGSTOP, signal.SIGKILL])
def test_what_outlives_its_controller_and_its_keeper_is_cleared_and_a_live_run_is_not(
    keepers_end: signal.Signals, live: Command, tmp_path: Path
) -> None:
    dead = busy(tmp_path)
    keeper = _keeper_of(dead)
    os.kill(keeper, signal.SIGSTOP)  # so that it cannot see its controller's end
    dead.signal(signal.SIGKILL)
    dead.process.wait()
    os.kill(keeper, keepers_end)
    left, beside = dead.processes(), live.processes()

    reaping = Command("reap", cwd=tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "leases")).end()

    assert left or keepers_end == signal.SIGKILL, "there was something to clear"
    assert reaping.out.startswith("run ")
    assert (reaping.code, dead.processes(), held(tmp_path)) == (0, [], [])
    assert set(beside) & set(live.processes())
    assert live.process.poll() is None
    dead.end()


def test_the_next_command_clears_what_the_last_one_left(tmp_path: Path) -> None:
    first = busy(tmp_path)
    first.signal(signal.SIGKILL)
    first.end()
    (lease,) = [name for name in held(tmp_path) if name.endswith(".lease")]

    second = Command(
        *("check", "unheard:of", "--out", "other"),
        cwd=tmp_path,
        XDG_RUNTIME_DIR=str(tmp_path / "leases"),
    ).end()

    assert f"cleared run {lease.removesuffix('.lease')}" in second.err
    assert (second.code, held(tmp_path), first.processes()) == (2, [], [])


def test_a_reap_leaves_a_live_run_in_the_same_place_alone(live: Command, place: Path) -> None:
    before = held(place)

    reaping = Command("reap", cwd=place, XDG_RUNTIME_DIR=str(place / "leases")).end()

    assert (reaping.code, reaping.out) == (0, "nothing was left\n")
    assert (live.process.poll(), held(place)) == (None, before)


def _keeper_of(command: Command) -> int:
    """Return the one process that the controller has started itself."""
    children = Path(f"/proc/{command.process.pid}/task/{command.process.pid}/children").read_text()
    (keeper,) = map(int, children.split())
    return keeper
