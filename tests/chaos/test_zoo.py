"""The zoo: `poolproof check` accuses every broken pool under its own invariant, and no sound one.

The commands run a few at a time in the background, in the order of the tests that read them.
"""

import dataclasses
import difflib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from poolproof.checkers import CHECKERS
from poolproof.faults import FAULTS, syscalls
from tests.chaos.zoo.ablations import ABLATIONS, MAX_CHANGED_LINES, ZOO, Ablation, parse

pytestmark = pytest.mark.chaos

AT_ONCE: Final = 4  # they wait more than they compute
ENOUGH: Final = 15
BOUND_S: Final = 110.0
SEED: Final = "7"

SOUND: Final = {
    "process_pool.py:make_pool": ("all", "kill"),
    "process_pool.py:make_once_pool": ("kill-busy,kill-all,exit-in-job,error-in-job", "off"),
    "process_pool.py:make_retrying_pool": ("kill-busy,kill-all,exit-in-job,error-in-job", "off"),
    "process_pool.py:make_ordered_pool": ("kill-busy,exit-in-job,error-in-job", "off"),
    "process_pool.py:make_prompt_pool": ("kill-busy,kill-all,freeze-busy,big-result", "off"),
    "process_pool.py:make_bounded_pool": ("kill-busy,cancel-storm", "off"),
    "process_pool.py:make_careful_pool": ("kill-busy,kill-all,freeze-busy,error-in-job", "off"),
    "loud_pool.py:make_pool": ("all", "kill"),
    "thread_pool.py:make_pool": ("all", "kill"),
    "asyncio_pool.py:make_pool": ("all", "kill"),
}
BROKEN: Final = {ablation.name: ablation for ablation in ABLATIONS}
EACH_BROKEN: Final = pytest.mark.parametrize(
    "ablation", ABLATIONS, ids=lambda ablation: ablation.name
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one `poolproof check` came to."""

    exit_code: int
    output: str
    checks: list[dict[str, Any]]

    def accused_of(self) -> set[str]:
        return {check["invariant"] for check in self.checks if check["verdict"] == "invalid"}


def here(fault: str) -> str:
    """Return the fault by which this user can do the same: RLIMIT_NPROC binds no root."""
    return "fork-refused" if fault == "spawn-failure" and os.geteuid() == 0 else fault


class Zoo:
    """Runs the command on pools in the background; counts who was caught and who was accused."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Its pools' segments by name: whoever removed all zoos' would hide the leaks of a suite beside this one.
        self.segments = f"zoo-{os.getpid()}"
        self.caught: dict[str, bool] = {}
        self.accused: dict[str, bool] = {}
        self._keepers = ThreadPoolExecutor(AT_ONCE)
        self._runs: dict[str, Future[Run]] = {}
        # A copy: pytest writes to the environment, and whom another thread starts meanwhile cannot read it (EFAULT).
        self._environment = {**os.environ, "ZOO": self.segments}

    def begin(self, names: list[str]) -> None:
        for name in names:
            command = self._broken(BROKEN[name]) if name in BROKEN else self._sound(name)
            self._runs[name] = self._keepers.submit(self._run, name, command)

    def run(self, name: str) -> Run:
        return self._runs[name].result(BOUND_S)

    def close(self) -> None:
        self._keepers.shutdown(cancel_futures=True)

    def _broken(self, ablation: Ablation) -> list[str]:
        file = self.directory / f"{ablation.name.replace('-', '_')}.py"
        file.write_text(ablation.source())
        faults = ["--faults", ",".join(map(here, ablation.faults)), "--crash-points", "off"]
        return [f"{file}:{ablation.factory}", *faults, *ablation.options]

    def _sound(self, name: str) -> list[str]:
        faults, points = SOUND[name]
        return [f"{ZOO / name}", "--faults", faults, "--crash-points", points]

    def _run(self, name: str, command: list[str]) -> Run:
        kept = self.directory / name.replace(":", "-")
        # Not with_suffix: names have points of their own.
        report = kept.with_name(f"{kept.name}.json")
        kept_in = ["--json", str(report), "--out", str(kept)]
        done = subprocess.run(
            [sys.executable, "-m", "poolproof", "check", *command, "--seed", SEED, *kept_in],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        checks = json.loads(report.read_text())["checks"] if report.exists() else []
        return Run(exit_code=done.returncode, output=done.stdout + done.stderr, checks=checks)

    def score(self) -> str:
        return (
            f"zoo: {sum(self.caught.values())} of {len(self.caught)} caught, "
            f"sound pools accused: {sum(self.accused.values())}"
        )


@pytest.fixture(scope="session")
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    made = Zoo(tmp_path_factory.mktemp("zoo"))
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    made.begin([item.callspec.id for item in functions if "zoo" in item.fixturenames])
    yield made
    made.close()
    for segment in Path("/dev/shm").glob(f"{made.segments}-*"):
        segment.unlink(missing_ok=True)
    plugins = request.config.pluginmanager
    reporter, capture = (plugins.get_plugin(it) for it in ("terminalreporter", "capturemanager"))
    if reporter and capture:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{made.score()}")


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN) == len(ABLATIONS) >= ENOUGH
    assert len({name.partition(":")[0] for name in SOUND}) >= 4


def test_every_invariant_has_a_pool_that_breaks_it() -> None:
    assert {ablation.invariant for ablation in ABLATIONS} == set(CHECKERS)


@EACH_BROKEN
def test_a_broken_pool_is_a_small_change_of_a_sound_one(ablation: Ablation) -> None:
    sound, broken = (ZOO / ablation.base).read_text(), ablation.source()
    changes = list(difflib.unified_diff(sound.splitlines(), broken.splitlines(), n=0))[2:]

    assert 1 <= sum(line[0] in "+-" for line in changes) <= MAX_CHANGED_LINES
    compile(broken, ablation.name, "exec")


@EACH_BROKEN
def test_a_broken_pool_names_what_there_is(ablation: Ablation) -> None:
    assert {ablation.invariant, *ablation.also} <= set(CHECKERS)
    assert set(ablation.faults) <= {*FAULTS, "none"}
    assert ablation.invariant not in ablation.also


WELL: Final = """
import asyncio, os, sys
sys.path[:0] = [{zoo!r}]
import {module} as pools
pool = pools.{factory}(2)
async def main():
    async with pool:
        return await asyncio.gather(*(pool.submit(abs, -n) for n in range(20)))
if hasattr(pool, "__aenter__"):
    answers = asyncio.run(main())
else:
    futures = [pool.submit(abs, -n) for n in range(20)]
    answers = [future.result(20) for future in futures]
    pool.shutdown()
assert answers == list(range(20)), answers
print("well", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    "ablation",
    [ablation for ablation in ABLATIONS if not ablation.broken_from_birth],
    ids=lambda ablation: ablation.name,
)
def test_a_broken_pool_works_well_while_nothing_goes_wrong(
    ablation: Ablation, tmp_path: Path
) -> None:
    module = ablation.name.replace("-", "_")
    (tmp_path / f"{module}.py").write_text(ablation.source())
    script = WELL.format(zoo=str(ZOO), module=module, factory=ablation.factory)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as owner:
        try:
            assert owner.stdout
            assert owner.stdout.readline() == "well\n", owner.communicate()[1]
        finally:  # what it leaks, and it alone, is in its session
            os.killpg(owner.pid, signal.SIGKILL)
    for segment in Path("/dev/shm").glob(f"zoo-{owner.pid}-*"):
        segment.unlink()


def test_a_change_that_has_no_place_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "lost.diff"
    file.write_text(
        "note: -\ninvariant: leak\nfaults: none\n\n"
        "--- thread_pool.py\n+++ lost\n@@\n-    nowhere\n+    here\n"
    )

    with pytest.raises(ValueError, match=r"lost: expected once in thread_pool\.py, got 0"):
        parse(file).source()


@EACH_BROKEN
def test_a_broken_pool_is_accused_of_just_what_it_breaks(zoo: Zoo, ablation: Ablation) -> None:
    if "fork-refused" in map(here, ablation.faults) and not syscalls.available():
        pytest.skip("RLIMIT_NPROC does not bind root, and strace, which does, may not attach here")
    run = zoo.run(ablation.name)
    zoo.caught[ablation.name] = ablation.invariant in run.accused_of()

    assert run.exit_code == 1, run.output
    assert ablation.invariant in run.accused_of(), run.output
    assert run.accused_of() <= {ablation.invariant, *ablation.also}, run.output


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_pool_is_never_accused(zoo: Zoo, name: str) -> None:
    run = zoo.run(name)
    zoo.accused[name] = bool(run.accused_of())

    assert run.accused_of() == set(), run.output
    assert run.exit_code == 0, run.output
