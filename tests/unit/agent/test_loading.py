"""A load as its owner is told of it: the command is read, and the generator that fits the pool drives it."""

import operator
import threading
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from poolproof.adapters.base import TargetProblem
from poolproof.adapters.executor import ExecutorPool
from poolproof.agent import journal, loading
from poolproof.agent.declarations import OwnJob
from poolproof.agent.generator import OK

pytestmark = pytest.mark.unit

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def over() -> threading.Event:
    return threading.Event()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, over: threading.Event) -> Told:
    found: Told = []

    def write(kind: str, **fields: Any) -> None:
        found.append((kind, fields["data"]))
        if kind == "ok":
            over.set()

    monkeypatch.setattr(journal, "write", write)
    return found


@pytest.fixture
def adapter() -> Iterator[ExecutorPool]:
    with ThreadPoolExecutor(2) as pool:
        made = ExecutorPool(pool)
        made.start()
        yield made


def asked(
    directory: Path, *operations: tuple[str, Any], times: int = 10, **more: Any
) -> dict[str, Any]:
    kinds = [number % len(operations) for number in range(times)]
    for name, code, numbers in (
        ("times", "q", [number * 1_000_000 for number in range(times)]),
        ("kinds", "B", kinds),
        ("sessions", "I", more.pop("sessions", [])),
    ):
        (directory / name).write_bytes(array(code, numbers).tobytes())
    return {"directory": str(directory), "operations": operations, "drain": 5.0, **more}


def begin(command: dict[str, Any], adapter: ExecutorPool, own: tuple[OwnJob, ...] = ()) -> Any:
    return loading.begin(command, adapter, "plain", own, operator.eq)


def test_what_is_planned_is_sent_and_both_ends_are_journalled(
    tmp_path: Path, adapter: ExecutorPool, told: Told, over: threading.Event
) -> None:
    generator = begin(asked(tmp_path, ("echo", "3"), ("noop", None)), adapter)
    assert over.wait(20)

    (first, began), *_, (last, ended) = told
    assert (first, set(began)) == ("invoke", {"zero", "overhead_ns"})
    assert (last, ended) == ("ok", {"sent": 10, "dropped": 0, "open": 0})
    rows = array("q", (tmp_path / "rows").read_bytes())
    assert (generator.sent, sum(outcome == OK for outcome in rows[3::4])) == (10, 10)


def test_a_closed_loop_says_how_many_clients_it_has(
    tmp_path: Path, adapter: ExecutorPool, told: Told, over: threading.Event
) -> None:
    begin(asked(tmp_path, ("noop", None), clients=2, seconds=0.05), adapter)
    assert over.wait(20)

    assert (told[0][1]["clients"], told[0][1]["seconds"]) == (2, 0.05)
    assert told[-1][1]["sent"] > 0


def test_a_target_may_be_asked_for_its_own_jobs(
    tmp_path: Path, adapter: ExecutorPool, told: Told, over: threading.Event
) -> None:
    own = (OwnJob(arguments=(operator.add, 2, 3), expected=5),)
    begin(asked(tmp_path, ("own", None)), adapter, own)
    assert over.wait(20)

    assert told[-1][1]["sent"] == 10


def test_what_the_target_does_not_take_is_refused(tmp_path: Path, adapter: ExecutorPool) -> None:
    with pytest.raises(TargetProblem, match=r"^expected a target with jobs of its own"):
        begin(asked(tmp_path, ("own", None)), adapter)
    with pytest.raises(TargetProblem, match=r"^expected a pool whose submit takes session="):
        begin(asked(tmp_path, ("noop", None), sessions=[1] * 10), adapter)
