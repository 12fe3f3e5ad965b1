"""Every named scenario on our stack in virtual time; and ablated stacks, which are found out."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolproof import simulation
from poolproof.errors import UsageError
from poolproof.faults.catalogue import ROWS
from poolproof.scenarios import SCENARIOS, Load, Scenario, Step, load_file, play_on_stack
from poolproof.scenarios.facts import JobFacts
from poolproof.scenarios.planned import inject_failure, simulate_pool_failure
from poolproof.scenarios.playing import Report, play
from poolproof.scenarios.stack_stage import StackStage

pytestmark = pytest.mark.integration

SIMULATED = [
    (name, layer)
    for name, scenario in SCENARIOS.items()
    for layer in ("mock", "bridge_mock")
    if layer in scenario.layers
]
BRIEF = Load(clients=4, seconds=3)
KILLS = Scenario(
    name="kills",
    workers=2,
    steady=4,
    load=BRIEF,
    steps=(Step(do="wait", seconds=1), Step(do="kill", seconds=1)),
)


def brief(scenario: Scenario) -> Scenario:
    """The same with less load; the campaign has all of it. What one seed draws stays as it is."""
    if scenario.name == "combined" or not scenario.load.clients:
        return scenario
    lasts = min(scenario.load.seconds, 20)
    load = msgspec.structs.replace(scenario.load, clients=6, seconds=lasts)
    return msgspec.structs.replace(scenario, load=load)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "layer"), SIMULATED)
def test_our_stack_passes_with_a_receipt_for_each_deed_and_a_curve(
    name: str, layer: str, seed: int
) -> None:
    scenario = brief(SCENARIOS[name])
    report = play_on_stack(scenario, layer, seed=seed)

    assert report.broken == []
    assert report.receipts
    assert all(report.receipts.values())
    assert (report.curve is not None) == bool(scenario.load.clients)


def test_a_seed_is_the_whole_story() -> None:
    plays = [play_on_stack(SCENARIOS["combined"], "bridge_mock", seed=0) for _ in range(2)]

    assert plays[0] == plays[1]
    assert plays[0].trace


def test_without_its_deeds_a_scenario_is_never_valid() -> None:
    report = play_on_stack(KILLS, "mock", null=True)

    assert report.receipts == {}
    assert report.verdict == "unknown"


def test_what_means_nothing_on_a_layer_is_not_applicable() -> None:
    report = play_on_stack(SCENARIOS["network_partition"], "mock")

    assert report.verdict == "not applicable"
    assert report.judgements[0].wanted == "a layer among bridge_mock, full"


def test_every_scenario_of_the_catalogue_exists_on_its_layer() -> None:
    for row in ROWS:
        for layer in ("mock", "bridge_mock", "full"):
            for name in getattr(row, layer):
                if name.startswith("scenario "):
                    assert layer in SCENARIOS[name.split()[1]].layers


class Ablated(StackStage):
    """A sound stack, until one of its words is taken away."""


class LosesAnswers(Ablated):
    def _note(self, facts: JobFacts, done: "asyncio.Future[Any]", *, checked: bool) -> None:
        if facts.number % 10:
            super()._note(facts, done, checked=checked)


class AnswersWrongly(Ablated):
    def _note(self, facts: JobFacts, done: "asyncio.Future[Any]", *, checked: bool) -> None:
        super()._note(facts, done, checked=checked)
        facts.right &= facts.number % 10 != 0


class RunsTwice(Ablated):
    def starts(self) -> dict[int, int]:
        return {number: times + (number == 9) for number, times in super().starts().items()}


class Invents(Ablated):
    def starts(self) -> dict[int, int]:
        return {**super().starts(), 10_000: 1}


class KillsNobody(Ablated):
    async def do(self, *_: Any) -> None:
        pass


class LosesCapacity(Ablated):
    async def heal(self) -> None:
        await super().heal()
        self.live = lambda: 1  # type: ignore[method-assign]


class NeverCloses(Ablated):
    async def close(self) -> bool:
        await super().close()
        return False


class HealsNothing(Ablated):
    async def healed(self) -> str | None:
        return None


CAUGHT = {
    LosesAnswers: "unresolved-job",
    AnswersWrongly: "wrong-result",
    RunsTwice: "duplicate-run",
    Invents: "phantom-result",
    KillsNobody: "unproven",
    LosesCapacity: "recovery",
    NeverCloses: "shutdown-hang",
    HealsNothing: "unproven",
}


def on(make: Callable[..., StackStage], scenario: Scenario = KILLS) -> Report:
    stage = make("mock", scenario.workers)
    played = simulation.play(play(scenario, stage, seed=0, where="mock"))
    assert played.error is None
    assert played.value is not None
    return played.value


def test_the_sound_one_is_not_accused() -> None:
    assert on(Ablated).verdict == "valid"


@pytest.mark.parametrize("ablated", CAUGHT, ids=lambda one: one.__name__)
def test_an_ablated_one_is_found_out(ablated: type[Ablated]) -> None:
    report = on(ablated)

    assert report.verdict in ("invalid", "unknown")
    assert CAUGHT[ablated] in [line.partition(":")[0] for line in report.broken]


def test_one_that_breaks_only_under_load_is_accused_of_it() -> None:
    class LosesLater(StackStage):
        def _note(self, facts: JobFacts, done: "asyncio.Future[Any]", *, checked: bool) -> None:
            if facts.role != "load" or facts.number % 5:
                super()._note(facts, done, checked=checked)

    report = on(LosesLater)

    assert report.verdict == "invalid"
    assert any(line.startswith("unresolved-job: expected 0 jobs, got ") for line in report.broken)


OPEN = msgspec.structs.replace(KILLS, load=Load(clients=0, seconds=6, rate=200))


class StandsStill(Ablated):
    """From the first kill on, for two seconds, no answer is passed on."""

    async def do(self, *_: Any) -> None:
        await super().do(*_)
        self._until = self.clock() + 2

    def _note(self, facts: JobFacts, done: "asyncio.Future[Any]", *, checked: bool) -> None:
        wait = getattr(self, "_until", 0.0) - self.clock()
        if wait <= 0:
            super()._note(facts, done, checked=checked)
        else:
            self._loop.call_later(wait, partial(super()._note, checked=checked), facts, done)


def test_nothing_is_done_to_a_pool_whose_load_is_over() -> None:
    """Seen in 9 of 1,000 seeds of `combined`: no receipt, since nobody asked for anything any more."""
    steps = (Step(do="wait", seconds=2 * BRIEF.seconds), Step(do="kill", seconds=1))
    report = on(Ablated, msgspec.structs.replace(KILLS, steps=steps))

    assert report.verdict == "valid"
    assert report.curve is not None
    assert min(report.goodput) > 0
    assert len(report.goodput) * report.curve.slice_ms > 2_000 * BRIEF.seconds


def test_an_open_load_is_asked_for_when_it_is_due() -> None:
    report = on(Ablated, OPEN)

    assert report.verdict == "valid"
    assert sum(report.goodput) == pytest.approx(6 * 200, abs=5)


def test_the_curve_of_one_that_stands_still_is_as_long_as_it_does() -> None:
    sound, still = on(Ablated, OPEN).curve, on(StandsStill, OPEN).curve

    assert sound is not None
    assert still is not None
    assert (sound.dip_ms, sound.depth) == (0.0, 0.0)
    assert still.depth == 1.0
    assert still.dip_ms == still.repaired_ms == pytest.approx(2_000, abs=2 * still.slice_ms)


def test_a_play_that_is_interrupted_asks_its_closed_pool_for_nothing() -> None:
    asked: list[bool] = []

    class Closed(Ablated):
        closed = False

        def submit(self, *arguments: Any, **options: Any) -> JobFacts:
            asked.append(self.closed)
            return super().submit(*arguments, **options)

        async def close(self) -> bool:
            self.closed = True
            return await super().close()

    async def main() -> None:
        playing = asyncio.create_task(play(OPEN, Closed("mock", 2), seed=0, where="mock"))
        await simulation.advance(2)
        playing.cancel()
        await asyncio.wait([playing])
        await simulation.advance(2)

    simulation.play(main())

    assert asked
    assert not any(asked)


def test_in_virtual_time_a_curve_is_the_same_everywhere() -> None:
    assert play_on_stack(KILLS, "mock").fingerprint == {"clock": "virtual"}


TOML = """
name = "mine"
does = "half of the workers die"
workers = 4
[load]
clients = 4
seconds = 3
[[steps]]
do = "wait"
seconds = 1
[[steps]]
do = "kill"
share = 0.5
[criteria]
success = 0.9
"""


def test_ten_lines_of_toml_are_a_scenario(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TOML, encoding="utf-8")

    assert play_on_stack(load_file(file), "mock").verdict == "valid"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML.replace("share", "sahre"), "sahre"),
        (TOML.replace('"kill"', '"kil"'), "kil"),
        (TOML.replace("success = 0.9", "success = 9"), "expected success from 0 to 1, got 9"),
        (TOML.replace("workers = 4", "workers = 0"), "expected workers and steady from 1 on"),
        (TOML.replace("clients = 4", "clients = 0"), "expected some load"),
        (TOML.replace("share = 0.5", "share = 5"), "a share to 1"),
        ("name = [", "docs/scenarios.md shows one"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(UsageError, match=message):
        load_file(file)


@pytest.mark.parametrize("kind", ["port_crash", "timeout", "resource_exhaustion"])
def test_the_planned_failures_are_injected_and_survived(kind: str) -> None:
    report = inject_failure(kind, "mock")

    assert report.broken == []
    assert all(report.receipts.values())


@pytest.mark.parametrize("kind", ["worker_cascade_failure", "thundering_herd"])
def test_the_planned_failures_of_a_pool_are_survived(kind: str) -> None:
    assert simulate_pool_failure(kind, "mock").broken == []


def test_a_failure_that_is_not_planned_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a failure among port_crash"):
        inject_failure("meteorite")


def test_a_pace_costs_nothing_in_virtual_time_and_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a pace for the layer full"):
        play_on_stack(KILLS, "mock", pace=0.5)
