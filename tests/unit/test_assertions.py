"""Each public assertion holds for what is sound, and says what is wrong with what is not."""

import asyncio
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from poolproof import simulation
from poolproof.assertions import (
    LeakError,
    NotRecoveredError,
    OrderError,
    TenantError,
    TooSlowError,
    VacuousError,
    WrongLayerError,
    assert_layer,
    assert_no_leaks,
    assert_recovers_within,
    assert_session_order,
    assert_tenants_isolated,
    assert_thresholds,
)
from poolproof.config import Thresholds
from poolproof.latency import Latencies
from poolproof.pool.monitor import PoolStats

pytestmark = pytest.mark.unit


def up_at(*times: float) -> "Recovery":
    return Recovery(times)


class Recovery:
    """Is up or down by turns: up from the first time on, down from the second, up from the third."""

    def __init__(self, times: tuple[float, ...]) -> None:
        self.times = times

    def __call__(self) -> bool:
        now = asyncio.get_running_loop().time()
        return sum(now >= time for time in self.times) % 2 == 1


def test_recovery_is_the_beginning_of_the_time_in_which_it_holds() -> None:
    took = simulation.run(assert_recovers_within(5.0, up_at(1.0, 1.5, 3.0), holds_for=1.0))

    assert took == pytest.approx(3.0, abs=0.03)


def test_a_recovery_that_comes_too_late_is_told_with_every_change() -> None:
    with pytest.raises(NotRecoveredError) as caught:
        simulation.run(assert_recovers_within(2.0, up_at(1.0, 1.5, 3.0), holds_for=1.0))

    assert str(caught.value) == (
        "expected the steady state within 2 s, to hold for 1 s, got:\n"
        "  - from 0.000 s: False\n  - from 1.000 s: True\n  - from 1.500 s: False"
    )


def test_a_recovery_that_begins_in_time_may_be_proved_after_it() -> None:
    took = simulation.run(assert_recovers_within(2.0, up_at(1.9), holds_for=5.0))

    assert took == pytest.approx(1.9, abs=0.03)


@pytest.mark.asyncio
async def test_what_was_there_before_is_no_leak() -> None:
    old = asyncio.create_task(asyncio.Event().wait())

    async with assert_no_leaks():
        await asyncio.sleep(0)

    old.cancel()


class Leaks:
    """Makes one thing of each kind, and takes it away again."""

    def __init__(self) -> None:
        self.undo = list[Any]()

    def task(self) -> None:
        self.undo.append(asyncio.create_task(asyncio.Event().wait(), name="the leak").cancel)

    def thread(self) -> None:
        end = threading.Event()
        threading.Thread(target=end.wait, name="the leak", daemon=True).start()
        self.undo.append(end.set)

    def child(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.undo += [child.kill, child.communicate]

    def descriptor(self) -> None:
        self.undo += [partial(os.close, number) for number in os.pipe()]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["task", "thread", "child", "descriptor"])
async def test_what_is_left_is_named(kind: str) -> None:
    leaks = Leaks()
    others = {"task", "thread", "child", "descriptor"} - {kind}

    async def leak() -> None:
        async with assert_no_leaks(grace=0.0, ignore=others):
            getattr(leaks, kind)()

    with pytest.raises(LeakError, match=rf"expected nothing left after 0 s, got \d:\n  - {kind}: "):
        await leak()

    for undo in leaks.undo:
        undo()


@pytest.mark.asyncio
async def test_what_is_gone_within_the_grace_is_no_leak() -> None:
    async def end_soon() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async with assert_no_leaks():
        soon = asyncio.create_task(end_soon())

    assert soon.done()


class Stack:
    def __init__(self, layer: str, pids: list[int]) -> None:
        self.layer = layer
        self._pids = pids

    def pids(self) -> list[int]:
        return self._pids


def test_a_layer_is_what_runs() -> None:
    assert_layer(Stack("full", [os.getppid()]), "full")
    assert_layer(Stack("mock", []), "mock")


@pytest.mark.parametrize(
    ("layer", "pids", "says"),
    [
        ("mock", [], "expected the layer 'full', got 'mock'"),
        ("full", [], "expected living processes of the workers, got none"),
        ("full", [2**22 + 1], r"got \[\d+\] dead or our own"),
    ],
)
def test_another_layer_is_refused(layer: str, pids: list[int], says: str) -> None:
    with pytest.raises(WrongLayerError, match=says):
        assert_layer(Stack(layer, pids), "full")


def test_workers_in_our_own_process_are_none_of_full() -> None:
    with pytest.raises(WrongLayerError, match=r"got \[\d+\] dead or our own"):
        assert_layer(Stack("full", [os.getpid()]), "full")


def test_a_mock_with_processes_is_none() -> None:
    with pytest.raises(WrongLayerError, match="expected no processes on the layer 'mock'"):
        assert_layer(Stack("mock", [1]), "mock")


SUBMITTED = [("a", 1), ("b", 2), ("a", 3), ("b", 4)]


def test_sessions_may_overtake_each_other() -> None:
    assert_session_order(SUBMITTED, [2, 4, 1, 3])


def test_a_job_that_overtakes_its_own_session_is_named() -> None:
    with pytest.raises(OrderError, match=r"session 'a': 3 began as number 0, 1, .* as 2"):
        assert_session_order(SUBMITTED, [3, 2, 1, 4])


def test_a_second_beginning_of_a_job_does_not_count() -> None:
    assert_session_order(SUBMITTED, [1, 3, 1])


def test_an_order_of_nothing_proves_nothing() -> None:
    with pytest.raises(VacuousError, match="expected a session with two jobs that began"):
        assert_session_order(SUBMITTED, [1, 2])


def test_tenants_that_see_their_own_are_isolated() -> None:
    assert_tenants_isolated([("a", "a", 1), ("b", "b", 2)])


def test_what_is_seen_of_another_is_named() -> None:
    with pytest.raises(TenantError, match="'b' has seen 'a page' of 'a'"):
        assert_tenants_isolated([("a", "a", 1), ("b", "a", "a page")])


def test_one_tenant_proves_nothing() -> None:
    with pytest.raises(VacuousError, match="expected what two tenants have seen, got that of 1"):
        assert_tenants_isolated([("a", "a", 1)])


class TestThresholds:
    """A monitor's figures against what is configured."""

    @staticmethod
    def measured(**other: Any) -> PoolStats:
        latencies = {"count": 2000, "mean": 5.0, "p50": 4.0, "p90": 6.0, "p95": 7.0, "p99": 80.0}
        known = {name: other.pop(name) for name in list(other) if name in latencies}
        told: dict[str, Any] = {
            "seconds": 1.0,
            "checkouts": 2000,
            "checkins": 2000,
            "errors": {"WorkerDiedError": 2},
            "max_queue_depth": 1,
            "worker_restarts": 0,
            "worker_deaths": 0,
            "latencies": Latencies(**{**latencies, **known}, p999=90.0, p9999=94.0, longest=95.0),
        }
        return PoolStats(**{**told, **other})

    def test_good_figures_pass(self) -> None:
        assert_thresholds(self.measured(), Thresholds())

    @pytest.mark.parametrize(
        ("worse", "told"),
        [
            ({"mean": 101.0}, "a mean latency of at most 100 ms, got 101"),
            ({"p99": 501.0}, "a 99th percentile of at most 500 ms, got 501"),
            ({"seconds": 4.0}, "at least 1000 jobs a second, got 500"),
            ({"errors": {"A": 100, "B": 100}}, "at most 0.01 of the jobs, got 0.09091"),
        ],
    )
    def test_each_worse_figure_is_named(self, worse: dict[str, Any], told: str) -> None:
        with pytest.raises(TooSlowError, match=told):
            assert_thresholds(self.measured(**worse), Thresholds())

    def test_nothing_measured_is_no_pass(self) -> None:
        with pytest.raises(VacuousError, match="at least one answered job"):
            assert_thresholds(self.measured(count=0), Thresholds())

    def test_the_configured_thresholds_hold_by_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.poolproof.thresholds]\np99_ms = 10\n")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(TooSlowError, match="at most 10 ms, got 80"):
            assert_thresholds(self.measured())
