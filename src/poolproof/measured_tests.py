"""The fixture `bench` of performance tests, and the file of all that a session measured.

Loaded with the plugin into every suite: the standard library and pytest only, the rest when the fixture is used.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

if TYPE_CHECKING:
    from poolproof.bench.result import Measure

ROUND_SECONDS: Final = 0.005
"""A round of calls takes at least so long: a hundred times what reading the clock twice may be wrong by."""
ROUNDS: Final = 20
MOST_CALLS: Final = 1 << 20
_measured = pytest.StashKey[dict[str, "Measure"]]()
_load_before = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Make ready to keep what is measured."""
    config.stash[_measured] = {}
    config.stash[_load_before] = os.getloadavg()[0]


class Bench:
    """What a performance test measures with; each measure is named by the test, and a label of its own.

    Example:
        >>> def test_packing_is_fast(bench):
        ...     assert bench(pack, job) < 10e-6

    Attributes:
        taken: the samples of the last measure.
    """

    def __init__(self, node: str, keep: "Callable[[Measure], None]") -> None:
        self._node, self._keep = node, keep
        self.taken: Sequence[float] = ()

    def __call__(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,
        rounds: int = ROUNDS,
        label: str = "",
    ) -> float:
        """Call a function again and again; return the median seconds of a call, and keep all rounds.

        A round has as many calls as take 5 ms; a calibration is taken beside each.
        """
        from poolproof.fingerprint import calibrate  # noqa: PLC0415 - late, as the charter says

        calls = _calls(function, arguments)
        samples: list[float] = []
        calibration: list[float] = []
        for _ in range(rounds):
            samples.append(_round(function, arguments, calls) / calls)
            calibration.append(calibrate())
        return self.samples(samples, label=label, calibration=calibration)

    def samples(
        self,
        samples: Sequence[float],
        *,
        unit: Literal["s", "/s", "MB"] = "s",
        label: str = "",
        calibration: Sequence[float] = (),
    ) -> float:
        """Keep samples that the test took itself; return their median.

        Args:
            samples: one or more.
            unit: seconds, something a second (more is better), or megabytes.
            label: which of the test's measures they are, if it has several.
            calibration: seconds that the calibration took beside each; none if it was not taken.
        """
        from poolproof.bench.result import Measure  # noqa: PLC0415
        from poolproof.ranks import percentile  # noqa: PLC0415

        self.taken = tuple(samples)
        self._keep(
            Measure(
                name=f"{self._node}{f' {label}' if label else ''}",
                unit=unit,
                better="more" if unit == "/s" else "less",
                samples=tuple(samples),
                calibration=tuple(calibration),
            )
        )
        return percentile(sorted(samples), 50)


def _calls(function: Callable[..., Any], arguments: Sequence[Any]) -> int:
    """Return how many calls take long enough to be timed; as a warm-up, too."""
    calls = 1
    while _round(function, arguments, calls) < ROUND_SECONDS and calls < MOST_CALLS:
        calls *= 2
    return calls


def _round(function: Callable[..., Any], arguments: Sequence[Any], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        function(*arguments)
    return time.perf_counter() - began


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    """Measure, and keep it for `poolproof baseline`; see `--poolproof-bench`."""
    kept = request.config.stash[_measured]

    def keep(measure: "Measure") -> None:
        kept[measure.name] = measure

    return Bench(request.node.nodeid, keep)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was measured, if that was asked for; each process of pytest-xdist to a file of its own."""
    config = session.config
    path: str | None = config.getoption("poolproof_bench")
    if not path or not config.stash[_measured]:
        return
    import msgspec  # noqa: PLC0415

    from poolproof.bench.result import BenchResult  # noqa: PLC0415
    from poolproof.fingerprint import take  # noqa: PLC0415
    from poolproof.latency import Histogram  # noqa: PLC0415

    worker = getattr(config, "workerinput", {}).get("workerid")
    result = BenchResult(
        target="tests",
        measures=tuple(config.stash[_measured].values()),
        latency=Histogram().summary(),
        failures={},
        fingerprint=take(),
        load_before=config.stash[_load_before],
        load_after=os.getloadavg()[0],
    )
    file = Path(f"{path}.{worker}" if worker else path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
