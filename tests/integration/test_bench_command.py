"""`poolproof bench`, as its users run it, on pools of real processes."""

import asyncio
import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from poolproof.bench import measuring, versus
from poolproof.cli import main
from poolproof.comparison import Deciding
from tests.integration.commands import hearing_interrupts

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sigterm_kept")]

SLOWER = """
import time
from concurrent.futures import ThreadPoolExecutor

def old(workers):
    return ThreadPoolExecutor(workers)

class Slower(ThreadPoolExecutor):
    def submit(self, function, /, *arguments):
        return super().submit(delayed, function, *arguments)

def delayed(function, *arguments):
    time.sleep(0.002)
    return function(*arguments)

def new(workers):
    return Slower(workers)
"""


@pytest.mark.timeout(300)  # 9 s of an idle machine, 91 of a very crowded one
def test_a_pool_is_measured_in_all_its_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "WORKERS", (1,))
    monkeypatch.setattr(measuring, "PAYLOADS", (100, 102_400))
    monkeypatch.setattr(measuring, "REPLACED_SECONDS", 30.0)  # so long, a busy machine may take
    file = tmp_path / "bench.json"
    code = main(
        ["bench", "poolproof.stack:full", "--rounds", "1", "--for", "30ms", "--json", str(file)]
    )
    result = json.loads(file.read_bytes())
    names = {measure["name"] for measure in result["measures"]}

    assert code == 0
    assert names == {
        "start-up",
        *(f"throughput, {n} in flight" for n in (1, 8, 64)),
        *(f"latency {p}, 1 in flight" for p in ("p50", "p99")),
        *(f"throughput, 8 in flight, {n} B" for n in (100, 102_400)),
        "throughput, 64 in flight, 1 workers",
        "death to replacement",
        "resident memory of a worker",
        "proportional memory of a worker",
    }
    assert not result["failures"]
    assert all(len(m["samples"]) == len(m["calibration"]) for m in result["measures"])
    assert "death to replacement" in capsys.readouterr().out


@pytest.mark.slow
def test_the_slower_of_two_is_found_by_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versus, "SLICE_SECONDS", 0.02)
    monkeypatch.setattr(versus, "Deciding", partial(Deciding, looks=((15, 0.99),)))
    (tmp_path / "pools.py").write_text(SLOWER)
    monkeypatch.chdir(tmp_path)

    assert main(["bench", "pools.py:new", "--against", "pools.py:old"]) == 1


FUNCTIONS = """
import asyncio

def plain():
    return sum(range(100))

async def waits():
    await asyncio.sleep(0)
"""


def test_what_was_measured_until_it_was_interrupted_is_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    monkeypatch.setattr(measuring, "_replacements", interrupt)
    monkeypatch.setattr(measuring, "WORKERS", ())
    monkeypatch.setattr(measuring, "PAYLOADS", (100,))
    file = tmp_path / "bench.json"
    with hearing_interrupts():
        code = main(
            ["bench", "poolproof.stack:mock", "--rounds", "1", "--for", "30ms", "--json", str(file)]
        )

    result = json.loads(file.read_bytes())
    assert code == 130
    assert result["failures"] == {"the rest": "it was interrupted"}
    assert "throughput, 64 in flight" in {measure["name"] for measure in result["measures"]}


def test_functions_are_measured_by_pyperf_which_compares_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    quick = ["--rounds", "1", "--for", "1ms", "--pyperf", "kept.json", "--json", "now.json"]
    code = main(["bench", "functions.py:plain,waits", "--micro", *quick])
    command = [sys.executable, "-m", "pyperf", "compare_to", "kept.json", "kept.json"]
    compared = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measures = json.loads(Path("now.json").read_bytes())["measures"]

    assert code == 0
    assert "Benchmark hidden because not significant (2): plain, waits" in compared
    assert [(one["name"], len(one["samples"])) for one in measures] == [("plain", 3), ("waits", 3)]
    assert main(["baseline", "save", "micro", "now.json", "--dir", "kept"]) == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["functions.py:plain", "--mix", "noop"], "expected --micro without --against, --mix"),
        (["nowhere.py:plain"], r"plain to be measured by pyperf, which ended with 1"),
    ],
)
def test_what_cannot_be_measured_by_pyperf_is_refused(
    options: list[str], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *options, "--micro"]) == 2
    assert match in capsys.readouterr().err
