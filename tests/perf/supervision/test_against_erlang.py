"""Start, restart and memory of children, as ratios to Erlang/OTP in one interleaved run.

`static` (one_for_one with N specifications) is what is promised. Of Erlang's two kinds the faster
restart is the
anchor: its static one looks through all children for a dead one, which ours does not.
"""

# ruff: noqa: T201 -- the figures are what these tests are for

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.perf,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("erl") is None, reason="`erl` is not installed"),
]

SCRIPTS = Path(__file__).parents[3] / "scripts"
SIZES = (1_000, 10_000, 100_000)
# The shorter a sample, the more of it is noise, and the more of them are needed.
SAMPLES = {1_000: 21, 10_000: 9, 100_000: 5}
CRASHES = 500
WITHIN = 2.0
BYTES = 2_500


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("erlang")
    compile_it = (
        "[S, P] = init:get_plain_arguments(), {ok, _} = compile:file(S, [{outdir, P}]), halt()."
    )
    script = str(SCRIPTS / "measure_otp.erl")
    subprocess.run(
        ["erl", "-noshell", "-eval", compile_it, "-extra", script, str(place)],
        check=True,
        timeout=60,
    )
    return place


@pytest.fixture(scope="module", params=SIZES)
def measured(request: pytest.FixtureRequest, compiled: Path) -> dict[str, list[dict[str, Any]]]:
    """Samples of each, taken in turns, each in a process of its own."""
    erlang = ["erl", "+S", "1", "-noshell", "-pa", str(compiled), "-s", "measure_otp", "main"]
    ours = [sys.executable, str(SCRIPTS / "measure_supervision.py")]
    samples: dict[str, list[dict[str, Any]]] = {"erlang": [], "erlang dynamic": [], "ours": []}
    for _ in range(SAMPLES[request.param]):
        samples["erlang"].append(sample(erlang, f"static {request.param} {min(CRASHES, 50)}"))
        samples["ours"].append(sample(ours, f"static {request.param} {CRASHES}"))
        samples["erlang dynamic"].append(sample(erlang, f"dynamic {request.param} {CRASHES}"))
    return samples


def sample(command: list[str], line: str) -> dict[str, Any]:
    done = subprocess.run(
        command, input=line + "\n", capture_output=True, text=True, check=True, timeout=200
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def median(samples: list[dict[str, Any]], field: str) -> float:
    return float(statistics.median(one[field] for one in samples))


def test_start_is_within_twice_erlangs(measured: dict[str, Any]) -> None:
    ratio = median(measured["ours"], "start_ns") / median(measured["erlang"], "start_ns")
    print(f"\n{measured['ours'][0]['children']} children: start {ratio:.2f} x Erlang")

    assert ratio <= WITHIN


def test_restart_is_within_twice_erlangs(measured: dict[str, Any]) -> None:
    anchor = min(median(measured[name], "restart_ns") for name in ("erlang", "erlang dynamic"))
    ratio = median(measured["ours"], "restart_ns") / anchor
    print(f"\n{measured['ours'][0]['children']} children: restart {ratio:.2f} x Erlang")

    assert ratio <= WITHIN


def test_child_is_small(measured: dict[str, Any]) -> None:
    size = median(measured["ours"], "bytes")
    print(f"\n{measured['ours'][0]['children']} children: {size:.0f} bytes each")

    assert size <= BYTES


def test_restart_does_not_grow_with_the_number_of_children() -> None:
    ours = [sys.executable, str(SCRIPTS / "measure_supervision.py")]
    times: dict[int, list[float]] = {SIZES[0]: [], SIZES[-1]: []}
    for _ in range(SAMPLES[SIZES[-1]]):
        for size, seen in times.items():
            seen.append(sample(ours, f"static {size} {CRASHES}")["restart_ns"])

    small, large = (statistics.median(times[size]) for size in times)
    print(f"\nrestart among {SIZES[-1]} children: {large / small:.2f} x that among {SIZES[0]}")

    assert large <= WITHIN * small
