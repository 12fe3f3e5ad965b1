"""What one call of a function costs: by pyperf, in processes of its own, which it calibrates and warms up.

    python -m poolproof.bench.micro FUNCTION[,FUNCTION...] [OPTION OF PYPERF...]

is what `poolproof bench FUNCTION --micro` runs, and what pyperf runs anew as each of its workers.
"""

import contextlib
import importlib
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poolproof import fingerprint
from poolproof.adapters.base import TargetProblem
from poolproof.agent import naming
from poolproof.bench.result import BenchResult, Measure
from poolproof.errors import TargetError, UsageError
from poolproof.latency import Histogram


def measure(functions: str, *, python: str, processes: int, seconds: float, out: Path) -> None:
    """Measure functions, which take nothing, and keep what pyperf writes; its progress is on standard output.

    Args:
        functions: one as a target is named, or several of one module or file, separated by commas.
        python: the interpreter that has pyperf, poolproof and the functions.
        processes: how many pyperf measures in, one after the other; three samples each.
        seconds: how long a sample takes at least; pyperf finds how many calls that are.
        out: the file; one that is there is replaced.

    Raises:
        TargetError: there is no such function, or it raises; why is on standard error.
    """
    options = [f"--processes={processes}", f"--min-time={seconds}", f"--output={out}"]
    command = [python, "-m", "poolproof.bench.micro", functions, *options]
    out.unlink(missing_ok=True)
    # A group of its own, so that none of the processes that pyperf starts outlives this one's end.
    with subprocess.Popen(command, process_group=0) as pyperf:  # noqa: S603 - our own command
        try:
            code = pyperf.wait()
        except BaseException:
            os.killpg(pyperf.pid, signal.SIGKILL)
            raise
    if code:
        raise TargetError(f"expected {functions} to be measured by pyperf, which ended with {code}")


def read(file: Path, target: str, load_before: float, python: str) -> BenchResult:
    """Return what pyperf wrote: all its values, as samples of one measure a function."""
    suite = _pyperf().BenchmarkSuite.load(str(file))
    return BenchResult(
        target=target,
        measures=tuple(
            Measure(name=one.get_name(), unit="s", better="less", samples=one.get_values())
            for one in suite.get_benchmarks()
        ),
        latency=Histogram().summary(),
        failures={},
        fingerprint=fingerprint.take(python),
        load_before=load_before,
        load_after=os.getloadavg()[0],
    )


def _pyperf() -> Any:
    try:
        return importlib.import_module("pyperf")
    except ImportError as error:
        raise UsageError(f"expected pyperf, got {error}; install poolproof[perf]") from error


def names(functions: str) -> Iterator[str]:
    """Yield the full name of each function."""
    place, colon, listed = functions.rpartition(":")
    for name in listed.split(","):
        yield f"{place}{colon}{name}"


def _name_functions(command: list[str], arguments: Any) -> None:
    """Tell a worker of pyperf's what it is to measure."""
    command.append(arguments.functions)


def main() -> None:
    """Be pyperf's script."""
    try:
        runner = _pyperf().Runner(
            program_args=("-m", "poolproof.bench.micro"),
            add_cmdline_args=_name_functions,
        )
        runner.argparser.add_argument("functions")
        for name in names(runner.parse_args().functions):
            function = naming.resolve(name).function
            waits = inspect.iscoroutinefunction(function)
            bench = runner.bench_async_func if waits else runner.bench_func
            bench(name.rpartition(":")[2], function)
    except (TargetProblem, UsageError) as problem:
        sys.exit(f"poolproof: {problem}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
