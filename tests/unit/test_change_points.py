"""Change points: a step that was planted in what is kept is found where it is, noise alone has none."""

import importlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from poolproof import fingerprint
from poolproof.baseline import Baseline
from poolproof.bench.result import BenchResult, Measure
from poolproof.change_points import ChangePoint, ChangePoints, change_points
from poolproof.cli import main
from poolproof.errors import UsageError
from poolproof.latency import Histogram
from poolproof.report.baseline import change_points as told

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("sigterm_kept")]

try:
    importlib.import_module("otava.analysis")  # here, since what scipy leaves is no test's
    there = True
except ImportError:
    there = False
needs_otava = pytest.mark.skipif(
    not there, reason="needs poolproof[change-points], which is large and pins numpy"
)

HERE = fingerprint.take()
LONG = 30
AT = 17


def history(*scales: float, machine: Sequence[float] = (), **facts: Any) -> list[Baseline]:
    """Baselines b0, b1, ... of a time and a rate, each with noise of 2 % of its own, and a calibration."""
    rng = Random(8)
    moved = machine or [1.0] * len(scales)
    return [
        Baseline(
            name=f"b{number}",
            saved_at=f"2026-01-{number + 1:02}",
            result=result(rng, scale, speed, {**HERE, **facts}),
        )
        for number, (scale, speed) in enumerate(zip(scales, moved, strict=True))
    ]


def result(rng: Random, scale: float, machine: float, facts: dict[str, Any]) -> BenchResult:
    def samples(middle: float, noise: float) -> tuple[float, ...]:
        run = rng.gauss(0, noise)
        return tuple(middle * math.exp(run + rng.gauss(0, 0.01)) for _ in range(5))

    took, calibration = scale * machine, samples(0.002 * machine, 0.0)
    times, rates = samples(took, 0.02), samples(1 / took, 0.02)
    return BenchResult(
        target="a.b:c",
        measures=(
            Measure(name="time", unit="s", better="less", samples=times, calibration=calibration),
            Measure(name="rate", unit="/s", better="more", samples=rates, calibration=calibration),
        ),
        latency=Histogram().summary(),
        failures={},
        fingerprint=facts,
        load_before=0.0,
        load_after=0.0,
    )


def step(ratio: float) -> list[float]:
    return [1.0] * AT + [ratio] * (LONG - AT)


@needs_otava
def test_a_planted_step_is_found_where_it_is_in_times_and_rates() -> None:
    slower, faster = (change_points(history(*step(ratio))).found for ratio in (1.1, 0.9))

    for found, ratio in ((slower, 1.1), (faster, 0.9)):
        assert [(one.measure, one.since) for one in found] == [
            ("time", f"b{AT}"),
            ("rate", f"b{AT}"),
        ]
        assert [one.ratio for one in found] == pytest.approx([ratio] * 2, rel=0.02)


@needs_otava
def test_noise_alone_and_one_outlier_are_no_change() -> None:
    assert change_points(history(*[1.0] * LONG)).found == ()
    assert change_points(history(*[1.0] * LONG, 1.5)).found == ()


@needs_otava
def test_what_the_machine_did_is_no_change_of_the_calibrated() -> None:
    """The ablation: in times alone, a machine that is slower from then on makes a change."""
    kept = history(*[1.0] * LONG, machine=step(1.3))

    assert len(change_points(kept).found) == 2
    assert change_points(kept, calibrated=True).found == ()


class Told:
    """A search that finds what it was told to find."""

    def __init__(self, *indices: int) -> None:
        stats = SimpleNamespace(forward_rel_change=lambda: 0.25)
        self._found = [SimpleNamespace(index=index, stats=stats) for index in indices]

    def compute_change_points(self, costs: list[float], **_options: float) -> tuple[Any, Any]:
        assert len(costs) >= 10
        return self._found, []


@pytest.fixture
def edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "otava.analysis", Told(2, 3, LONG - 3, LONG - 2))


@pytest.mark.usefixtures("edges")
def test_three_stand_on_each_side_of_a_change() -> None:
    found = change_points(history(*[1.0] * LONG)).found

    assert [one.since for one in found if one.measure == "time"] == ["b3", f"b{LONG - 3}"]
    assert {one.ratio for one in found} == {1.25}


@pytest.mark.usefixtures("edges")
def test_other_machines_are_left_out_and_counted() -> None:
    kept = [*history(*[1.0] * 5, cores=96), *history(*[1.0] * LONG)]

    assert change_points(kept).baselines == LONG
    assert change_points(kept).elsewhere == 5
    assert change_points(kept, calibrated=True).elsewhere == 0


@pytest.mark.usefixtures("edges")
def test_of_a_few_baselines_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in history(*[1.0] * 9):
        (tmp_path / f"{one.name}.json").write_bytes(msgspec.json.encode(one))

    assert main(["baseline", "change-points", "--dir", str(tmp_path)]) == 3
    assert capsys.readouterr().out == "9 baselines, 0 measures that 10 of them or more have\n"


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "otava.analysis", None)

    with pytest.raises(
        UsageError, match=r"^expected Apache Otava .* install poolproof\[change-points\]$"
    ):
        change_points([])


def test_each_change_is_told_in_a_line() -> None:
    points = (ChangePoint(measure="time", since="b17", saved_at="2026-01-18", ratio=1.1),)
    found = ChangePoints(found=points, measures=2, baselines=30, elsewhere=5)

    assert list(told(found))[-1] == "  slower, 1.100 times, since b17 of 2026-01-18  time"
    assert "left out: 5 of another kind of machine" in "\n".join(told(found))
    nothing = msgspec.structs.replace(found, found=())
    assert list(told(nothing))[-1] == "no change point"
