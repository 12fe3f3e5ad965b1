"""A load, shown: in words, as it goes, and as a picture."""

import importlib.util
import subprocess
import sys
from array import array
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from poolproof.latency import Histogram
from poolproof.load import slo
from poolproof.load.recovery import Curve
from poolproof.load.result import LoadPlan, LoadResult, Snapshot, WorkerUse
from poolproof.plan import Target
from poolproof.report import load as report

pytestmark = pytest.mark.integration


def result(**changes: Any) -> LoadResult:
    histogram = Histogram()
    histogram.record(array("q", [1_000_000] * 990 + [5_000_000_000] * 10))
    curve = Curve(
        fault="freeze-all",
        at_ms=2_000,
        heal_ms=8_000,
        detected_ms=None,
        repaired_ms=12,
        depth=1.0,
        dip_ms=6_000,
    )
    plain = LoadResult(
        plan=LoadPlan(target=Target(name="a.b:c", cwd="/", python="/python"), rate=100),
        verdict="breached",
        reasons=(),
        loop="open",
        seconds=10,
        planned=1_000,
        sent=1_000,
        answered=990,
        failed=10,
        unanswered=0,
        dropped=0,
        errors={"Boom": 10},
        latency=histogram.summary(),
        service=Histogram().summary(),
        late=0,
        lag_p99_ms=0.1,
        lag_max_ms=0.2,
        overhead_us=1.5,
        throughput=99,
        judged=slo.judge(slo.parse("p99<100ms, errors<2%"), {"p99": 5_000, "errors": 1.0}),
        curves=(curve,),
        series=tuple(
            {"second": n, "due": 100, "answered": 100, "failed": 0, "waiting": n, "live": 2}
            | {"p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}
            | {"workers": [{"pid": 1, "rss_mb": 20.0, "cpu_percent": n}]}
            for n in range(10)
        ),
        workers=(WorkerUse(pid=1, rss_mb=20, cpu_percent=5),),
        load_before=0.1,
        load_after=0.2,
        fingerprint={},
    )
    return msgspec.structs.replace(plain, **changes)


def shown(one: LoadResult, beside: LoadResult | None = None) -> str:
    out = StringIO()
    report.show(one, beside, Console(file=out, width=200))
    return out.getvalue()


def test_a_load_is_told_with_its_bounds_its_faults_and_its_verdict() -> None:
    text = shown(result())

    assert "990 of 1,000 answered rightly, 10 failed" in text
    assert "10 x Boom" in text
    assert "BROKEN  p99<100ms: 5000 ms" in text
    assert "kept    errors<2%: 1 %" in text
    assert (
        "freeze-all at 2.00 s: nothing told of it, back to normal 12.00 ms after the heal" in text
    )
    assert text.splitlines()[-1].startswith("BREACHED  a.b:c: open load, steady, up to 100/s")


def test_why_the_closed_loop_beside_it_shows_less_is_told_in_numbers() -> None:
    plan = msgspec.structs.replace(result().plan, clients=1)
    text = " ".join(shown(result(), result(plan=plan, loop="closed", answered=3_000)).split())

    assert "coordinated omission" in text
    assert "While the pool stood, 600 operations of the open load were due" in text
    assert "of the closed loop at most 1 waited, among 3,000 answers" in text


def test_a_void_result_says_why() -> None:
    assert "VOID    3 of 1,000 arrivals were dropped" in shown(
        result(verdict="void", reasons=("3 of 1,000 arrivals were dropped",))
    )


def test_without_a_terminal_the_view_is_a_line_now_and_then() -> None:
    out = StringIO()
    now = Snapshot(
        seconds=1,
        due=10,
        answered=9,
        failed=1,
        waiting=0,
        rate=9,
        p50_ms=1,
        p99_ms=2_000,
        max_ms=3_000,
        live=2,
        rss_mb=20,
        cpu_percent=3,
        struck="kill-busy",
    )
    with report.View(Console(file=out, width=80)) as view:
        for _ in range(2 * report.PLAIN_EVERY):
            view.show(now)

    assert len(out.getvalue().splitlines()) == 2
    assert "p99 2.00 s" in out.getvalue()


def test_on_a_terminal_the_view_stays_in_its_place() -> None:
    out = StringIO()
    with report.View(Console(file=out, width=80, force_terminal=True)) as view:
        view.show(Snapshot(**dict.fromkeys(Snapshot.__struct_fields__[:-1], 0), struck=""))

    assert "answered" in out.getvalue()


DRAW = """
import sys, msgspec
from pathlib import Path
from poolproof.load.result import LoadResult
from poolproof.report import pictures

pictures.load(msgspec.json.decode(Path("result.json").read_bytes(), type=LoadResult), Path("load.png"))
pictures.intervals([("a", 0.9, 1.0, 1.1)], Path("intervals.png"), across="ratio")
pictures.scaling({"workers": [(1, 10), (2, 20)]}, Path("scaling.png"), up="rate")
"""


def test_a_load_is_drawn(tmp_path: Path) -> None:
    """In a process of its own: matplotlib keeps its fonts open."""
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed: poolproof[perf]")
    (tmp_path / "result.json").write_bytes(msgspec.json.encode(result()))
    subprocess.run([sys.executable, "-c", DRAW], cwd=tmp_path, check=True)

    for name in ("load", "intervals", "scaling"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
