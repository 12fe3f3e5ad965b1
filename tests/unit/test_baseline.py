"""Baselines: kept, compared with doubt where the machine moved, refused across machines."""

import math
import platform
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from poolproof import baseline, fingerprint
from poolproof.bench.result import BenchResult, Measure
from poolproof.cli import main
from poolproof.errors import UsageError
from poolproof.latency import Histogram
from poolproof.load.recovery import Curve
from poolproof.scenarios import Report
from tests.integration.report.test_load import result as load_result

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("sigterm_kept")]


def measured(
    seed: int, *, scale: float = 1.0, machine: float = 1.0, calibrated: bool = True, **facts: Any
) -> BenchResult:
    """Forty samples of a time and a rate: both grow with scale and machine, the calibration with the machine."""
    rng = Random(seed)

    def samples(middle: float) -> tuple[float, ...]:
        return tuple(middle * math.exp(rng.gauss(0, 0.01)) for _ in range(40))

    calibration = samples(0.002 * machine) if calibrated else ()
    took = scale * machine
    return BenchResult(
        target="a.b:c",
        measures=(
            Measure(
                name="time", unit="s", better="less", samples=samples(took), calibration=calibration
            ),
            Measure(
                name="rate",
                unit="/s",
                better="more",
                samples=samples(1 / took),
                calibration=calibration,
            ),
        ),
        latency=Histogram().summary(),
        failures={},
        fingerprint={**fingerprint.take(), **facts},
        load_before=0.0,
        load_after=0.0,
    )


def verdicts(old: BenchResult, new: BenchResult, **options: Any) -> list[str]:
    return [one.comparison.verdict for one in baseline.compare(baseline_of(old), new, **options)]


def baseline_of(result: BenchResult) -> baseline.Baseline:
    return baseline.Baseline(name="old", saved_at="2026-01-01", result=result)


def test_the_same_is_the_same_and_a_change_is_one_for_times_and_rates() -> None:
    assert verdicts(measured(1), measured(2)) == ["same", "same"]
    assert verdicts(measured(1), measured(2, scale=1.1)) == ["slower", "slower"]
    assert verdicts(measured(1), measured(2, scale=0.9)) == ["faster", "faster"]


def test_what_the_machine_did_is_not_charged_to_the_code() -> None:
    """The ablation: without calibration, a machine that is a third slower makes a regression."""
    slow = measured(2, machine=1.3)

    assert verdicts(measured(1), slow) == ["inconclusive"] * 2
    assert (
        verdicts(measured(1, calibrated=False), measured(2, machine=1.3, calibrated=False))
        == ["slower"] * 2
    )


def test_another_machine_is_refused_or_compared_by_calibration() -> None:
    other = measured(2, machine=2.0, cores=96)

    with pytest.raises(UsageError, match="a baseline of a machine like this one, got cores"):
        verdicts(measured(1), other)
    assert verdicts(measured(1), other, calibrated=True) == ["same", "same"]


def test_no_common_measure_is_no_comparison() -> None:
    new = msgspec.structs.replace(measured(1), measures=())
    with pytest.raises(UsageError, match="expected a measure that old has, too"):
        verdicts(measured(1), new)


def test_baselines_are_kept_listed_and_pruned(tmp_path: Path) -> None:
    results = [measured(number) for number in range(3)]
    for number, result in enumerate(results):
        baseline.save(f"b{number}", result, tmp_path)

    assert baseline.load("b1", tmp_path).result == results[1]
    (tmp_path / "torn.json").write_text("{")
    assert {one.name for one in baseline.kept(tmp_path)} == {"b0", "b1", "b2"}
    assert len(baseline.prune(1, tmp_path)) == 2
    assert len(baseline.kept(tmp_path)) == 1
    assert len(baseline.prune(0, tmp_path)) == 1


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b"])
def test_a_name_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected a name of letters"):
        baseline.save(name, measured(1), tmp_path)


def test_a_baseline_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    baseline.save("main", measured(1), tmp_path)
    with pytest.raises(UsageError, match="got 'other'; there are: main"):
        baseline.load("other", tmp_path)
    (tmp_path / "old.json").write_bytes(
        msgspec.json.encode(
            baseline.Baseline(name="old", saved_at="", result=measured(1), schema=0)
        )
    )
    with pytest.raises(UsageError, match="expected schema 1"):
        baseline.load("old", tmp_path)


def test_the_command_says_it_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"old": measured(1), "same": measured(2), "slow": measured(3, scale=1.2, python="4.0")}
    for name, result in files.items():
        (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode(result))
    where = ["--dir", str(tmp_path / "kept")]

    assert main(["baseline", "save", "main", str(tmp_path / "old.json"), *where]) == 0
    assert main(["baseline", "compare", "main", str(tmp_path / "same.json"), *where]) == 0
    assert main(["baseline", "compare", "main", str(tmp_path / "slow.json"), *where]) == 1
    said = capsys.readouterr().out
    assert "SLOWER  against main" in said
    assert said.count("then and now:") == 1
    assert f"python: {platform.python_version()}, 4.0" in said
    assert main(["baseline", "list", *where]) == 0
    assert "a.b:c" in capsys.readouterr().out
    assert main(["baseline", "prune", "--keep", "0", *where]) == 0
    assert main(["baseline", "compare", "main", str(tmp_path / "slow.json"), *where]) == 2


def test_samples_of_several_files_are_put_together(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, path in enumerate(paths):
        path.write_bytes(msgspec.json.encode(measured(number)))

    assert len(baseline.read_results(paths).measures[0].samples) == 80


def test_of_a_load_latencies_and_the_whole_curve_of_recovery_are_kept() -> None:
    kept = baseline.of_loads([load_result(fingerprint={"cores": 96})])
    found = {one.name.partition(",")[0]: (one.unit, *one.samples) for one in kept.measures}

    assert {name: found[name] for name in found if "freeze" in name} == {
        "freeze-all repaired": ("s", pytest.approx(0.012)),
        "freeze-all dip": ("s", pytest.approx(6.0)),
        "freeze-all depth": ("%", 100.0),
        "freeze-all not repaired": ("share", 0.0),
    }
    assert {"latency p50", "latency p99", "latency p999"} < found.keys()
    assert kept.fingerprint == {"cores": 96}  # of where it was measured, not of where it is kept


def test_a_void_load_is_no_baseline() -> None:
    with pytest.raises(UsageError, match="got a void one: it was late"):
        baseline.of_loads([load_result(verdict="void", reasons=("it was late",))])


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"measures": 3}', "[{}]", "[3]", '{"scenario": 3}']
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="`bench --json`, `load --json` or `scenario --json`"):
        baseline.read_results([path])


def plays(*repaired_ms: float | None, fingerprint: dict[str, Any] | None = None) -> list[Report]:
    curve = Curve(
        fault="two-die",
        at_ms=1.0,
        heal_ms=None,
        detected_ms=None,
        repaired_ms=1.0,
        depth=0,
        dip_ms=0,
    )
    facts = {"clock": "virtual"} if fingerprint is None else fingerprint
    return [
        Report(
            scenario="two-die",
            where="mock",
            seed=seed,
            verdict="valid",
            judgements=(),
            curve=msgspec.structs.replace(curve, repaired_ms=ms),
            fingerprint=facts,
        )
        for seed, ms in enumerate(repaired_ms)
    ]


def times(number: int, middle: float) -> list[float]:
    rng = Random(number)
    return [middle * math.exp(rng.gauss(0, 0.05)) for _ in range(20)]


def test_the_curves_of_plays_are_read_from_a_file_and_compared(tmp_path: Path) -> None:
    results = []
    for name, middle in (("old", 50), ("alike", 50), ("slow", 80)):
        path = tmp_path / f"{name}.json"
        path.write_bytes(msgspec.json.encode(plays(*times(len(name), middle))))
        results.append(baseline.read_results([path]))
    old, alike, slow = results

    repaired = [one.name for one in old.measures].index("two-die repaired, on mock")
    assert verdicts(old, alike, effect=0.1)[repaired] == "same"
    assert verdicts(old, slow, effect=0.1)[repaired] == "slower"
    assert old.fingerprint == {"clock": "virtual"}  # the same on every machine


@pytest.mark.parametrize(
    ("never", "verdict"), [(0, "inconclusive"), (5, "inconclusive"), (7, "slower")]
)
def test_pools_that_do_not_come_back_are_no_faster_for_it(never: int, verdict: str) -> None:
    old = baseline.of_plays(plays(*times(1, 50)))
    new = baseline.of_plays(plays(*times(2, 50)[never:], *[None] * never))

    place = [one.name for one in new.measures].index("two-die not repaired, on mock")
    assert verdicts(old, new)[place] == verdict


@pytest.mark.parametrize("changes", [{"verdict": "unknown"}, {"curve": None}])
def test_a_play_that_proves_nothing_is_no_baseline(changes: dict[str, Any]) -> None:
    (play,) = plays(1.0)
    with pytest.raises(UsageError, match="expected plays with a curve and a receipt"):
        baseline.of_plays([msgspec.structs.replace(play, **changes)])


@pytest.mark.parametrize("unlike", [{"rate": 50.0}, {"pace": 0.1}, {"where": "bridge_mock"}])
def test_curves_of_plays_that_were_asked_for_otherwise_are_not_compared(
    unlike: dict[str, Any],
) -> None:
    old = plays(*times(1, 50))
    new = [msgspec.structs.replace(one, **unlike) for one in old]
    with pytest.raises(UsageError, match="expected a measure that old has, too"):
        baseline.compare(baseline_of(baseline.of_plays(old)), baseline.of_plays(new))


def test_virtual_time_and_that_of_a_machine_are_not_compared() -> None:
    old, new = (baseline.of_plays(plays(1.0, fingerprint=f)) for f in ({}, fingerprint.take()))
    with pytest.raises(UsageError, match="a machine like this one"):
        baseline.compare(baseline_of(old), new)
