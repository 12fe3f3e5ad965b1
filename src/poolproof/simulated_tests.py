"""Tests under simulation: the marker `simulated`, its seeds, and the claims judged when the session is over.

At import the standard library and pytest only; the simulation is imported with the first test that asks for it.
"""

import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

import pytest

_MARKER: Final = "simulated"
_OF_THE_LOOP: Final = ("strict", "time_limit", "step_limit")
_OPTIONS: Final = ("seed", "policy", "deviations", "depth", "length", "buggify", *_OF_THE_LOOP)
_LOOPS: Final = "poolproof-simulated-loops"
_judge = pytest.StashKey["Judge"]()


class LoopFactory:
    """Makes the loop of a simulated test, and remembers it for the report of a failure."""

    def __init__(self, options: dict[str, Any], seed: int) -> None:
        self.options: dict[str, Any] = {"policy": "random", **options, "seed": seed}
        self._of_the_loop: dict[str, Any] = {
            name: self.options.pop(name) for name in _OF_THE_LOOP if name in self.options
        }
        if self.options.get("deviations"):
            self.options["policy"] = "fifo"
        self.loop: Any = None

    def __call__(self) -> Any:
        """Return a new loop."""
        from poolproof.simulation import SimulationLoop, from_json  # noqa: PLC0415 - late, see above

        self.loop = SimulationLoop(schedule=from_json(self.options), **self._of_the_loop)
        return self.loop

    def replay(self) -> str:
        """Return the marker that plays the last run again."""
        from poolproof.simulation import to_json  # noqa: PLC0415

        chosen = to_json(self.loop.schedule).items()
        ran = ", ".join(f"{key}={value!r}" for key, value in chosen if value != [])
        return f"@pytest.mark.simulated({ran})"

    def receipts(self) -> list[str]:
        """Return what the faults of the simulated network did, as the network itself counted it."""
        counts = sorted(self.loop.network.counts.items())
        return [
            f"{what} {count} from {source} to {target}"
            for (what, source, target), count in counts
            if what != "sent"
        ]

    def story(self) -> str:
        """Return what replays the last run: first its seed, then its order as data."""
        loop = self.loop
        found = [list(deviation) for deviation in loop.deviations]
        return (
            f"{self.replay()}\n"
            f"{loop.trace.steps} steps, {loop.time():.9f} virtual seconds, trace {loop.trace.digest()}\n"
            f"the same order as data: @pytest.mark.simulated(seed={loop.schedule.seed}, deviations={found})"
        )


class SimulatedLoops:
    """Offers the loops to pytest-asyncio; registered with the first simulated test, so that others pay nothing."""

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_asyncio_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Generator[None, Any, Mapping[str, Callable[[], Any]]]:
        """Give a simulated test ours, another what its suite wants, or the stock loop: None would be an error."""
        import asyncio  # noqa: PLC0415

        wanted: Mapping[str, Callable[[], Any]] | None = yield
        marker = item.get_closest_marker(_MARKER)
        if marker is None:
            return wanted or {"asyncio": asyncio.new_event_loop}
        first = int(marker.kwargs.get("seed", 0))
        seeds = range(first, first + _number_of_seeds(config))
        return {f"seed-{seed}": LoopFactory({**marker.kwargs}, seed) for seed in seeds}


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a number of seeds that is none."""
    if (got := _number_of_seeds(config)) < 1:
        raise pytest.UsageError(f"--poolproof-seeds: expected at least 1, got {got}")
    config.stash[_judge] = Judge()


def _number_of_seeds(config: pytest.Config) -> int:
    number: int = config.option.poolproof_seeds
    return number


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have pytest-asyncio run a simulated test, in strict mode too, on loops of ours."""
    marker = metafunc.definition.get_closest_marker(_MARKER)
    if marker is None:
        return
    if problem := _problem(metafunc, marker):
        pytest.fail(f"simulated: {problem}", pytrace=False)
    if not metafunc.config.pluginmanager.has_plugin(_LOOPS):
        metafunc.config.pluginmanager.register(SimulatedLoops(), _LOOPS)
    if metafunc.definition.get_closest_marker("asyncio") is None:
        metafunc.definition.add_marker(pytest.mark.asyncio)
        pytest.mark.asyncio(metafunc.function)


def _problem(metafunc: pytest.Metafunc, marker: pytest.Mark) -> str | None:
    import inspect  # noqa: PLC0415

    if strange := [*marker.args, *sorted(set(marker.kwargs) - set(_OPTIONS))]:
        got = ", ".join(map(str, strange))
        return f"expected keywords among {', '.join(_OPTIONS)}, got {got}"
    if not inspect.iscoroutinefunction(metafunc.function):
        return "expected an `async def` test, got a plain one; there, use simulation.run"
    if not hasattr(metafunc.config.hook, "pytest_asyncio_loop_factories"):
        return "expected pytest-asyncio 1.4 or later, got none; install poolproof[pytest]"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a simulated test that failed how to run it again."""
    report = yield
    factory = factory_of(item) if call.when == "call" and report.failed else None
    if factory is not None and factory.loop is not None:
        report.sections.append(("simulation", factory.story()))
    return report


def factory_of(item: pytest.Item) -> LoopFactory | None:
    """Return what made the loop of a simulated test; None of any other test."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    return next((value for value in values if isinstance(value, LoopFactory)), None)


class Judge:
    """What is known of the claims of a session.

    Attributes:
        whole: whether every test of the session was run: only then is a claim at fault that nobody has evaluated.
        unmet: what is wrong, a line for each claim.
    """

    def __init__(self) -> None:
        self.whole = True
        self.unmet: list[str] = []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Note whether a part of the tests was asked for by name."""
    if any("::" in str(argument) for argument in config.args):
        config.stash[_judge].whole = False


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Note that tests were left out."""
    if items:
        items[0].config.stash[_judge].whole = False


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001 - xdist's signature
    """Take the claims that a worker of pytest-xdist has seen."""
    output: dict[str, Any] = getattr(node, "workeroutput", None) or {}
    if seen := output.get("poolproof_claims"):
        from poolproof.simulation.claims import CLAIMS  # noqa: PLC0415

        CLAIMS.merge(seen)
        node.config.stash[_judge].whole &= output["poolproof_whole"]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Judge the claims, in the process that has them all; an unmet one fails a session that has passed."""
    claims = sys.modules.get("poolproof.simulation.claims")
    if claims is not None and not session.config.option.collectonly:
        _judge_session(session, claims, exitstatus)
    yield


def _judge_session(session: pytest.Session, claims: Any, exitstatus: int) -> None:
    judge = session.config.stash[_judge]
    judge.whole &= not (session.shouldstop or session.shouldfail)
    stopped = exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None or not _has_workers(session.config):
        claims.CLAIMS.merge(claims.written(sys.modules.values()))
    if output is not None:
        output["poolproof_claims"] = claims.CLAIMS.dump()
        output["poolproof_whole"] = judge.whole and not stopped
        return
    judge.unmet = [
        f"{claim}: {claim.problem}"
        for claim in claims.CLAIMS.unmet()
        if claim.failed or (judge.whole and not stopped)
    ]
    if judge.unmet and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _has_workers(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "tx", None))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the claims that were not met."""
    unmet = config.stash[_judge].unmet
    if unmet:
        terminalreporter.section("claims that were not met", red=True)
        for line in unmet:
            terminalreporter.line(line)
