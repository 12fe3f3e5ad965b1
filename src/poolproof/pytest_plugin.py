"""The pytest plugin: markers that say what kind a test is, and the layer that it runs on.

It is loaded into every suite of whoever installs poolproof: at import, it needs pytest and the
standard library, nothing else.
"""

import argparse
import os
import sys
from typing import Final

import pytest

LAYERS: Final = ("mock", "bridge_mock", "full")

_ON_LINUX: Final = sys.platform.startswith("linux")

_MARKERS: Final = (
    "unit: one part alone, in milliseconds",
    "integration: several parts together, or a real process",
    "chaos: something is broken on purpose",
    "perf: a measured time or size, against its bound",
    "performance: the same as perf",
    "slow: takes more than a second",
    "service(name): needs a running server of that name",
    "simulated(seed=0, policy='random', ...): runs in virtual time, in an order of steps that the seed decides",
    f"layer(name, ...): runs on each of these ({', '.join(LAYERS)}), told by the argument `layer`",
)
_ALIASES: Final = (("perf", "performance"), ("performance", "perf"))
_foreign_layer = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--layer`, `--poolproof-seeds`, and to record a run."""
    group = parser.getgroup("poolproof")
    group.addoption(
        "--poolproof-seeds",
        dest="poolproof_seeds",
        metavar="N",
        type=int,
        default=1,
        help="run each simulated test with N seeds, from the marker's on",
    )
    group.addoption(
        "--poolproof",
        dest="poolproof_mode",
        choices=("report", "fail", "off"),
        help="what a leak does: it is reported (the default), it fails its test's end, or nobody looks",
    )
    parser.addini("poolproof", "the same as --poolproof, which stands over it", default="report")
    parser.addini(
        "poolproof_policy", "lines `kind: fail|restore|warn|ignore`", type="linelist", default=[]
    )
    parser.addini("poolproof_pins", "the TOML file of known leaks", default="poolproof-pins.toml")
    parser.addini(
        "poolproof_parallel",
        "off, file or worker: whether the tests of a directory, or of a file, may run beside each other",
        default="worker",
    )
    parser.addini("poolproof_lock_timeout", "seconds that a test waits for a lock", default="600")
    parser.addini(
        "poolproof_redirect",
        "words of HOME, TMPDIR, XDG: sent to private directories in tests that take a sandbox",
        type="args",
        default=[],
    )
    group.addoption(
        "--poolproof-record",
        metavar="FILE",
        help="write each test's outcome, durations, worker, leaks and waits to FILE, a JSON line a test",
    )
    group.addoption(
        "--poolproof-bench",
        metavar="FILE",
        help="write what the fixture `bench` measured to FILE, for `poolproof baseline`",
    )
    group.addoption("--poolproof-order", metavar="FILE", help=argparse.SUPPRESS)
    group.addoption(
        "--layer",
        dest="poolproof_layer",
        choices=(*LAYERS, "all"),
        default=os.environ.get("POOLPROOF_LAYER", "all"),
        help="run only the tests of this layer; all (the default, or $POOLPROOF_LAYER) also runs "
        "tests of no layer",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and what was asked for.

    A suite that has a marker `layer` of its own keeps its meaning.
    """
    registered: list[str] = config.getini("markers")
    config.stash[_foreign_layer] = any(line.startswith(("layer:", "layer(")) for line in registered)
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    _register_the_run(config)
    _start_the_guard(config)
    _offer_sandboxes(config)
    _offer_simulation(config)
    _offer_stacks(config)
    _offer_measuring(config)


def _offer_measuring(config: pytest.Config) -> None:
    from poolproof import measured_tests  # noqa: PLC0415 (late, as the others)

    config.pluginmanager.register(measured_tests, "poolproof-measured-tests")


def _offer_stacks(config: pytest.Config) -> None:
    from poolproof import fixtures  # noqa: PLC0415 (late, as the others)

    if (layer := config.getoption("poolproof_layer")) not in (*LAYERS, "all"):
        # The command line is checked by its parser, so that this comes from the environment.
        expected = ", ".join((*LAYERS, "all"))
        raise pytest.UsageError(f"POOLPROOF_LAYER: expected one of {expected}, got {layer!r}")
    config.pluginmanager.register(fixtures, "poolproof-stacks")


def _offer_sandboxes(config: pytest.Config) -> None:
    from poolproof.isolation import costs, exclusion, fixtures  # noqa: PLC0415 (late, as the others)

    exclusion.register(config)
    config.pluginmanager.register(fixtures, "poolproof-fixtures")
    config.pluginmanager.register(costs.CostSummary(), "poolproof-costs")


def _start_the_guard(config: pytest.Config) -> None:
    if config.getoption("poolproof_mode") != "off" and _ON_LINUX:
        from poolproof.isolation import guarding  # noqa: PLC0415 (so that `off` costs nothing)

        guarding.start(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say it where the guard cannot look: nobody is to take its silence for a clean suite."""
    if config.getoption("poolproof_mode") == "off" or _ON_LINUX:
        return None
    return f"poolproof: the guard needs Linux, got {sys.platform}; leaks are not looked for here"


def _register_the_run(config: pytest.Config) -> None:
    """Register what records and orders this run, if anything is to; imported late, because most runs need neither."""
    if path := config.getoption("poolproof_record"):
        from poolproof.isolation.runs import recorder  # noqa: PLC0415

        recorder.register(config, path)
    if path := config.getoption("poolproof_order"):
        from poolproof.isolation.runs import ordering  # noqa: PLC0415

        ordering.register(config, path)


def _offer_simulation(config: pytest.Config) -> None:
    from poolproof import pytest_reporter, simulated_tests  # noqa: PLC0415 - not in a process that only imports this

    config.pluginmanager.register(simulated_tests, "poolproof-simulated-tests")
    config.pluginmanager.register(pytest_reporter, "poolproof-reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `layer` once on each layer of its marker."""
    marker = metafunc.definition.get_closest_marker("layer")
    if marker and "layer" in metafunc.fixturenames and not metafunc.config.stash[_foreign_layer]:
        metafunc.parametrize("layer", marker.args)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each item its layer; refuse one that does not exist, drop what was not asked for."""
    _add_aliases(items)
    if config.stash[_foreign_layer]:
        return
    layers = {item: marker for item in items if (marker := item.get_closest_marker("layer"))}
    if problems := [text for item, marker in layers.items() if (text := _problem(item, marker))]:
        raise pytest.UsageError(*problems)
    for item, marker in layers.items():
        item.user_properties.append(("layer", _layer_of(item, marker)))
    _select(config, items)


def _add_aliases(items: list[pytest.Item]) -> None:
    for item in items:
        for one, other in _ALIASES:
            if item.get_closest_marker(one) and not item.get_closest_marker(other):
                item.add_marker(other)


def _problem(item: pytest.Item, marker: pytest.Mark) -> str | None:
    names = ", ".join(map(repr, marker.args)) or "none"
    if not marker.args or any(name not in LAYERS for name in marker.args):
        return f"{item.nodeid}: expected layers among {', '.join(LAYERS)}, got {names}"
    if _layer_of(item, marker) is None:
        return f"{item.nodeid}: has several layers ({names}), so it must take the argument `layer`"
    return None


def _layer_of(item: pytest.Item, marker: pytest.Mark) -> str | None:
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        chosen: object = item.callspec.params.get("layer")
        if isinstance(chosen, str):
            return chosen
    return str(marker.args[0]) if len(marker.args) == 1 else None


def _select(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("poolproof_layer")
    if wanted == "all":
        return
    on_layer = [("layer", wanted) in item.user_properties for item in items]
    config.hook.pytest_deselected(
        items=[i for i, on in zip(items, on_layer, strict=True) if not on]
    )
    items[:] = [item for item, on in zip(items, on_layer, strict=True) if on]
