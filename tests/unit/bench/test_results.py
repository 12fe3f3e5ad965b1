"""Results: as pyperf has them, drawn, and with where they were taken."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from poolproof import fingerprint
from poolproof.bench import by_pyperf
from poolproof.bench.result import BenchResult, Measure
from poolproof.latency import Histogram
from poolproof.report import bench as report

pytestmark = pytest.mark.unit


def result(scale: float = 1.0) -> BenchResult:
    rng = Random(1)

    def samples(middle: float) -> tuple[float, ...]:
        return tuple(middle * scale * rng.uniform(0.99, 1.01) for _ in range(10))

    rates = {"8 in flight": 4e4, "64 in flight": 9e4, "64 in flight, 2 workers": 9e4}
    return BenchResult(
        target="a.b:c",
        measures=(
            Measure(name="start-up", unit="s", better="less", samples=(0.1,)),
            Measure(name="death to replacement", unit="s", better="less", samples=samples(0.01)),
            Measure(name="resident memory", unit="MB", better="less", samples=samples(20)),
            *(
                Measure(name=f"throughput, {name}", unit="/s", better="more", samples=samples(rate))
                for name, rate in rates.items()
            ),
        ),
        latency=Histogram().summary(),
        failures={},
        fingerprint=fingerprint.take(),
        load_before=0.1,
        load_after=0.2,
    )


def test_pyperf_compares_what_is_saved_for_it(tmp_path: Path) -> None:
    by_pyperf.save(result(), tmp_path / "old.json")
    by_pyperf.save(result(1.5), tmp_path / "new.json")
    command = [sys.executable, "-m", "pyperf", "compare_to", "--table", "old.json", "new.json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = {line.split("|")[1].strip(): line for line in ended.stdout.splitlines() if "|" in line}

    assert "1.50x slower" in lines["death to replacement"]
    assert "1.50x faster" in lines["throughput, 64 in flight"]
    assert "resident memory" not in lines
    assert not ended.stderr


def test_costs_are_such_that_less_is_better() -> None:
    rate = Measure(name="r", unit="/s", better="more", samples=(4.0,), calibration=(0.5,))

    assert rate.costs() == (0.25,)
    assert rate.ratios() == (0.5,)


def test_points_are_found_by_the_number_in_the_name() -> None:
    assert [n for n, _ in report.points(result(), "throughput, ", " in flight")] == [8, 64]
    assert [n for n, _ in report.points(result(), "throughput, 64 in flight, ", " workers")] == [2]


def test_another_machine_is_told_by_its_facts_and_another_kernel_is_none() -> None:
    here = fingerprint.take()

    assert fingerprint.differences(here, {**here, "kernel": "another", "load": 9}) == []
    assert fingerprint.differences(here, {**here, "cores": 96}) == [f"cores: {here['cores']}, 96"]


def test_a_calibration_takes_time() -> None:
    assert 0 < fingerprint.calibrate() < 60
