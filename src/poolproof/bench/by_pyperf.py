"""Measures as pyperf has them, so that its own commands (`pyperf compare_to`, `stats`, `hist`) work on them."""

import importlib
from pathlib import Path
from typing import Any

from poolproof.bench.result import BenchResult, Measure
from poolproof.errors import UsageError


def save(result: BenchResult, path: Path) -> None:
    """Write a benchmark as a suite of pyperf's: each measure that is a time or a rate, as seconds.

    One of a single sample is left out: pyperf compares none.

    Raises:
        UsageError: pyperf is not installed.
    """
    try:
        pyperf: Any = importlib.import_module("pyperf")
    except ImportError:
        raise UsageError(
            "expected pyperf for --pyperf, got none; install poolproof[perf]"
        ) from None
    timed = [one for one in result.measures if one.unit in ("s", "/s") and len(one.samples) > 1]
    suite = pyperf.BenchmarkSuite([_benchmark(pyperf, one, result) for one in timed])
    suite.dump(str(path), replace=True)


def _benchmark(pyperf: Any, measure: Measure, result: BenchResult) -> Any:
    facts = {
        "name": measure.name,
        "unit": "second",
        "description": result.target,
        "cpu_count": int(result.fingerprint["cores"]),
        "python_version": str(result.fingerprint["python"]),
    }
    runs = [_run(pyperf, value, facts) for value in measure.costs()]
    return pyperf.Benchmark(runs)


def _run(pyperf: Any, value: float, facts: dict[str, Any]) -> Any:
    return pyperf.Run([value], metadata=facts, collect_metadata=False)
