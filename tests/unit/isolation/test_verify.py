"""What verification makes of runs: each way in which they differ is told, and runs that agree are not accused."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.records import Leak, Warned
from poolproof.isolation.runs.steps import Mode, Run, estimate, ladder, rounds, step_of
from poolproof.isolation.verify import Bounds, Verification, judge
from tests.unit.isolation.recorded import case, run

pytestmark = pytest.mark.unit

MODES: Final[tuple[Mode, ...]] = ("alone", "serial", "parallel", "shuffled")


def judged(*runs: Run) -> Verification:
    return judge(runs, Bounds())


def verdict(found: Verification, name: str) -> str:
    return next(gate.verdict for gate in found.gates if gate.name == name)


def kinds(found: Verification) -> dict[str, str]:
    return {finding.test: finding.kind for finding in found.findings}


def in_all(**outcomes: str) -> list[Run]:
    """Return runs in all modes, twice, all alike, long enough for their times to be compared."""
    return [run(mode, case("long", seconds=1.0), **outcomes) for mode in MODES * 2]


def test_runs_that_agree_are_valid_in_every_way() -> None:
    found = judged(*in_all(a="passed", b="skipped", c="xfailed", d="xpassed"))

    assert {gate.verdict for gate in found.gates} == {"valid"}
    assert (found.verdict, found.findings) == ("valid", ())


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.sampled_from(["passed", "skipped", "xfailed", "xpassed"]),
        min_size=1,
    ),
    st.lists(st.sampled_from(MODES), min_size=2, max_size=8),
)
def test_no_test_is_accused_that_is_the_same_in_every_run(
    outcomes: dict[str, str], modes: list[Mode]
) -> None:
    found = judged(*(run(mode, **outcomes) for mode in modes))

    assert found.findings == ()
    assert found.verdict != "invalid"


@given(st.lists(st.sampled_from(MODES), min_size=2, max_size=8), st.data())
def test_whoever_changes_its_mind_in_any_one_run_is_found(
    modes: list[Mode], data: st.DataObject
) -> None:
    odd = data.draw(st.integers(0, len(modes) - 1))
    outcomes = ["failed" if number == odd else "passed" for number in range(len(modes))]

    found = judged(*(run(mode, a=of) for mode, of in zip(modes, outcomes, strict=True)))

    assert kinds(found)["a"] in {"flaky", "polluted", "needs others", "parallel only"}
    assert verdict(found, "flakes") == "invalid"


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ("PFFF", "polluted"),
        ("FPPP", "needs others"),
        ("PPFP", "parallel only"),
        ("PPPF", "polluted"),
        ("FFFF", "fails"),
    ],
)
def test_the_modes_in_which_it_fails_tell_the_kind(outcomes: str, kind: str) -> None:
    words = {"P": "passed", "F": "failed"}
    found = judged(*(run(m, a=words[of]) for m, of in zip(MODES, outcomes, strict=True)))

    assert kinds(found) == {"a": kind}


def test_both_outcomes_of_the_same_order_are_a_flake() -> None:
    assert kinds(judged(run(a="passed"), run(a="failed"))) == {"a": "flaky"}


def test_a_rerun_that_passed_is_a_flake_still() -> None:
    found = judged(run("serial", case("a", reruns=1)), run("parallel", case("a")))

    assert kinds(found) == {"a": "flaky"}


def test_the_flake_rate_has_its_interval_and_its_number() -> None:
    names = {f"t{number}": "passed" for number in range(99)}

    found = judged(run("serial", **names, a="passed"), run("serial", **names, a="failed"))

    gate = next(gate for gate in found.gates if gate.name == "flakes")
    assert (gate.value, gate.verdict) == (0.01, "invalid")
    assert "1 of 100 changed their mind: 1.0% (95 % interval 0.2% to 5.4%, 2 runs)" in gate.measured


def test_one_run_proves_nothing_about_flakes() -> None:
    assert verdict(judged(run(a="passed")), "flakes") == "unknown"


def test_a_test_that_one_run_does_not_know_is_lost() -> None:
    found = judged(run(a="passed", b="passed"), run("parallel", a="passed"))

    assert (kinds(found), verdict(found, "lost tests")) == ({"b": "lost"}, "invalid")


def test_a_run_that_died_says_in_which_test() -> None:
    died = run("serial", a="passed", b="crashed", lost=("c",), code=-11)

    (lost,) = (
        f for f in judged(run(a="passed", b="passed", c="passed"), died).findings if f.test == "c"
    )
    assert lost.advice == "its run ended in b (exit code -11)"


def test_a_run_that_stalled_says_so() -> None:
    stalled = run("serial", a="crashed", lost=("b",), code=None)

    (lost,) = (f for f in judged(run(a="passed", b="passed"), stalled).findings if f.kind == "lost")
    assert lost.advice.startswith("its run was ended, because nothing happened any more in a")


def test_a_skip_in_one_mode_alone_is_new() -> None:
    found = judged(run(a="passed"), run("parallel", a="skipped"))

    assert (kinds(found), verdict(found, "newly skipped")) == ({"a": "newly skipped"}, "invalid")


def test_a_leak_is_no_verified_clean_up() -> None:
    leak = Leak(resource="thread", what="poller", where="app.py:3")
    found = judged(*(run(m, case("a", leaks=(leak,)), b="passed") for m in MODES))

    gate = next(gate for gate in found.gates if gate.name == "clean-ups")
    assert (gate.verdict, gate.value) == ("invalid", 0.5)
    assert kinds(found) == {"a": "leak"}


def test_a_leak_that_is_borne_is_listed_and_breaks_nothing() -> None:
    leak = Leak(resource="thread", what="poller", borne=True)
    found = judged(*(run(m, case("a", leaks=(leak,))) for m in MODES))

    assert (verdict(found, "clean-ups"), kinds(found)) == ("valid", {"a": "borne"})


def test_what_a_sandbox_could_not_verify_is_no_verified_clean_up() -> None:
    found = judged(*(run(m, case("a", released=2, verified=1)) for m in MODES))

    assert verdict(found, "clean-ups") == "invalid"


def test_where_no_guard_looked_clean_ups_are_unknown_and_so_is_the_whole() -> None:
    found = judged(*(run(m, case("a", leaks=None)) for m in MODES))

    assert (verdict(found, "clean-ups"), found.verdict) == ("unknown", "unknown")


def times(serial: float, parallel: float, waited: float = 0.0) -> Verification:
    return judged(
        *[run("serial", case("a", seconds=serial))] * 2,
        *[run("parallel", case("a", seconds=parallel, waited=waited))] * 2,
    )


@pytest.mark.parametrize(
    ("parallel", "waited", "told"),
    [
        (1.05, 0.0, "valid"),
        (1.2, 0.0, "invalid"),
        (0.8, 0.0, "invalid"),
        (3.0, 2.0, "valid"),
    ],
)
def test_time_is_compared_without_what_a_test_waited_for_locks(
    parallel: float, waited: float, told: str
) -> None:
    assert verdict(times(1.0, parallel, waited), "time variance") == told


def test_the_fastest_of_several_runs_counts() -> None:
    found = judged(
        *(run("serial", case("a", seconds=s)) for s in (1.0, 1.9, 1.01)),
        *(run("parallel", case("a", seconds=s)) for s in (2.5, 1.05)),
    )

    assert verdict(found, "time variance") == "valid"


def test_one_run_of_a_mode_cannot_be_told_from_noise() -> None:
    found = judged(
        *[run("serial", case("a", seconds=1.0))] * 2, run("parallel", case("a", seconds=2.0))
    )

    assert verdict(found, "time variance") == "not applicable"


def test_where_runs_in_one_process_differ_as_much_time_is_unknown() -> None:
    found = judged(
        *(run("serial", case("a", seconds=s)) for s in (1.0, 1.2)),
        *[run("parallel", case("a", seconds=2.0))] * 2,
    )

    assert (verdict(found, "time variance"), found.verdict) == ("unknown", "unknown")


def test_too_little_time_is_not_compared() -> None:
    assert verdict(times(0.001, 0.1), "time variance") == "not applicable"


def test_without_parallel_runs_there_is_no_time_to_compare() -> None:
    assert verdict(judged(run(a="passed"), run(a="passed")), "time variance") == "not applicable"


def test_a_test_of_another_time_is_named() -> None:
    found = judged(
        *[run("serial", case("a", seconds=1.0), case("b", seconds=1.0))] * 2,
        *[run("parallel", case("a", seconds=1.5), case("b", seconds=1.0))] * 2,
    )

    assert kinds(found) == {"a": "other time"}


@pytest.mark.parametrize(
    ("marker", "took", "slow"),
    [("unit", 1.1, True), ("unit", 0.9, False), ("integration", 4.0, False), ("", 9.0, False)],
)
def test_a_marker_is_a_limit_of_time_over_all_phases(marker: str, took: float, slow: bool) -> None:  # noqa: FBT001
    phases = {"setup": took / 2, "call": took / 2}
    runs = [run(m, case("a", seconds=phases, markers=(marker,))) for m in MODES[:2]]

    assert kinds(judged(*runs)) == ({"a": "slow"} if slow else {})


@pytest.mark.parametrize(
    ("phase", "took", "slow"),
    [("call", 31.0, True), ("call", 29.0, False), ("setup", 16.0, True), ("teardown", 16.0, True)],
)
def test_each_phase_has_a_limit_of_its_own(phase: str, took: float, slow: bool) -> None:  # noqa: FBT001
    runs = [run(m, case("a", seconds={phase: took})) for m in MODES[:2]]

    assert kinds(judged(*runs)) == ({"a": "slow"} if slow else {})


def test_an_unclosed_resource_is_told_and_breaks_nothing() -> None:
    warned = Warned(test="a", category="ResourceWarning", text="unclosed file", where="t.py:1")
    found = judged(*(run(m, a="passed", warnings=(warned,)) for m in MODES))

    assert (kinds(found), found.verdict) == ({"a": "unclosed"}, "valid")


def test_an_unknown_suite_is_unknown() -> None:
    assert judged().verdict == "unknown"


@pytest.mark.parametrize("repeat", [1, 3, 10])
def test_each_mode_is_run_as_often_as_asked_for_and_alone_once(repeat: int) -> None:
    planned = [step.mode for step in rounds(repeat, workers=2, seed=1)]

    assert {mode: planned.count(mode) for mode in MODES} == {
        "alone": 1,
        "serial": repeat,
        "parallel": repeat,
        "shuffled": repeat,
    }


def test_the_same_seed_gives_the_same_orders_and_no_two_alike() -> None:
    seeds = [step.seed for step in rounds(5, workers=0, seed=7) if step.mode == "shuffled"]

    assert seeds == [step.seed for step in rounds(5, workers=2, seed=7) if step.seed is not None]
    assert len(set(seeds)) == 5


def test_one_process_has_no_parallel_run() -> None:
    assert "parallel" not in {step.mode for step in (*rounds(3, 0, 1), *ladder(0, 1))}


def test_the_ladder_goes_from_one_test_to_the_whole() -> None:
    assert [step.mode for step in ladder(2, 1)] == [
        "alone",
        "batch",
        "serial",
        "serial",
        "parallel",
        "shuffled",
    ]


def test_a_step_is_known_again_by_its_order() -> None:
    planned = [*rounds(2, 2, 1), *ladder(2, 1)]

    assert [step_of(step.order, step.workers) for step in planned] == planned


def test_an_order_of_no_seed_is_no_shuffle() -> None:
    assert step_of(Order(), 0).mode == "serial"


def test_what_is_left_is_estimated_from_what_was() -> None:
    planned = rounds(1, 2, 1)

    assert estimate(planned, []) == 0.0
    assert estimate(planned, [run("serial", a="passed")]) == pytest.approx(4.0)
