"""What a failed promoted or simulated test says of itself, in the process of the test and beside pytest-xdist."""

import pytest

pytestmark = pytest.mark.integration

PLUGINS = "pytest_asyncio.plugin,poolproof.pytest_plugin"
SUITE = """
    import asyncio
    import pytest
    from poolproof.chaos.replay import Replayed
    from poolproof.regression import BrokenAgainError
    from poolproof.simulation import current
    from poolproof.stateful.promises import broken

    def test_promoted():
        found = Replayed(times=3, receipts=tuple(f"gone from /proc: {n}" for n in range(8)))
        raise BrokenAgainError("invalid: leak, in 3 of 3 plays", found, [], "poolproof replay p.json")

    @pytest.mark.simulated(seed=7)
    async def test_simulated():
        current().network.counts["lost", "a", "b"] += 3
        current().network.counts["sent", "a", "b"] += 9
        raise broken("wrong-result")("1 is not 2")

    @pytest.mark.simulated(seed=8)
    async def test_simulated_without_a_fault():
        assert await asyncio.sleep(1)

    def test_plain():
        assert 0

    @pytest.mark.simulated
    async def test_that_passes(): ...
"""
TOLD = [
    "*- poolproof -*",
    "verdict: invalid: leak, in 3 of 3 plays",
    "receipt: gone from /proc: 0",
    "and 2 more receipts",
    "replay: poolproof replay p.json",
]
SIMULATED = [
    "*- poolproof -*",
    "verdict: invalid: wrong-result",
    "receipt: lost 3 from a to b",
    "replay: @pytest.mark.simulated(policy='random', seed=7)",
]


@pytest.fixture(autouse=True)
def no_other_plugin(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """Looking for installed plugins costs half a second a suite."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", PLUGINS)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(SUITE)


def test_verdict_receipts_and_replay_are_shown(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("-p", "no:xdist")

    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(TOLD)
    result.stdout.fnmatch_lines(SIMULATED)
    result.stdout.fnmatch_lines(
        ["verdict: failed: AssertionError", "receipt: none", "replay: *seed=8)"]
    )
    assert result.stdout.str().count("- poolproof -") == 3


def test_the_end_lists_how_to_see_each_again(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("-p", "no:xdist")

    result.stdout.fnmatch_lines(
        [
            "*= poolproof: verdicts and replays =*",
            "*::test_promoted: invalid: leak, in 3 of 3 plays",
            "  replay: poolproof replay p.json",
            "*::test_simulated: invalid: wrong-result",
            "  replay: @pytest.mark.simulated(policy='random', seed=7)",
        ]
    )


def test_a_plain_failure_is_told_as_ever(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("-p", "no:xdist", "-k", "test_plain")

    assert "verdicts and replays" not in result.stdout.str()


def test_a_worker_of_xdist_sends_it_along(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_PLUGINS", f"xdist.plugin,{PLUGINS}")
    result = pytester.runpytest_subprocess(
        "-n", "1", "-k", "test_promoted or (test_simulated and not without)"
    )

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*gw0*", *TOLD])
    result.stdout.fnmatch_lines(SIMULATED)
    result.stdout.fnmatch_lines(
        ["*= poolproof: verdicts and replays =*", "*::test_promoted: invalid: leak*"]
    )
