"""The marker `simulated` and the claims of a session, in suites of their own."""

import pytest

from poolproof import simulated_tests

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def no_other_plugin(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """Looking for installed plugins costs half a second a suite."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_asyncio.plugin,poolproof.pytest_plugin")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")


SIMULATED = """
    import asyncio
    import pytest
    import pytest_asyncio
    from poolproof.simulation import SimulationLoop, current

    @pytest_asyncio.fixture
    async def begun():
        return current().time()

    @pytest.mark.simulated(seed=7)
    async def test_in_virtual_time(begun):
        await asyncio.sleep(3600)
        assert current().time() == begun + 3600
        assert current().schedule.policy == "random"

    class TestPlain:
        @pytest.mark.asyncio
        async def test_in_real_time(self):
            await asyncio.sleep(0)
            assert not isinstance(asyncio.get_running_loop(), SimulationLoop)

        def test_without_a_loop(self): ...
"""


def test_a_marked_test_runs_in_virtual_time_and_others_as_ever(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SIMULATED)

    result = pytester.runpytest("-v", "-W", "error")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*::test_in_virtual_time PASSED*", "*::test_in_real_time PASSED*"])


def test_each_seed_is_a_test_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SIMULATED)

    result = pytester.runpytest("-v", "--poolproof-seeds", "3")

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        [f"*::test_in_virtual_time?seed-{seed}? PASSED*" for seed in (7, 8, 9)]
    )


def test_no_seed_is_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--poolproof-seeds", "0")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--poolproof-seeds: expected at least 1, got 0"])


def test_a_suite_with_loops_of_its_own_keeps_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import asyncio

        class Own(asyncio.SelectorEventLoop): ...

        def pytest_asyncio_loop_factories(config, item):
            return {"own": Own}
        """
    )
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from poolproof.simulation import current

        @pytest.mark.asyncio
        async def test_own():
            assert type(asyncio.get_running_loop()).__name__ == "Own"

        @pytest.mark.simulated
        async def test_simulated():
            current()
        """
    )

    pytester.runpytest().assert_outcomes(passed=2)


def test_a_suite_without_simulated_tests_is_not_touched(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.asyncio
        async def test_real(request):
            hook = request.config.hook.pytest_asyncio_loop_factories
            assert hook.get_hookimpls() == []
            assert not hasattr(request.node, "callspec")
        """
    )

    pytester.runpytest().assert_outcomes(passed=1)


FAILING = """
    import asyncio
    import pytest

    @pytest.mark.simulated({})
    async def test_it():
        seen = []

        async def one(name):
            await asyncio.sleep(0)
            seen.append(name)

        await asyncio.gather(*map(one, range(9)))
        await asyncio.sleep(1.5)
        assert seen == list(range(9))
"""


def test_a_failure_says_how_to_run_it_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING.format("seed=3, policy='random'"))

    result = pytester.runpytest()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- simulation -*",
            "@pytest.mark.simulated(policy='random', seed=3)",
            "* steps, 1.500000000 virtual seconds, trace *",
            "the same order as data: @pytest.mark.simulated(seed=3, deviations=?[[]*",
        ]
    )


def test_the_order_as_data_fails_in_the_same_way(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING.format("seed=3, policy='random'"))
    first = pytester.runpytest().outlines
    again = next(line for line in first if line.startswith("the same order as data"))
    options = again.partition("simulated(")[2].removesuffix(")")
    pytester.makepyfile(FAILING.format(options))

    second = pytester.runpytest()

    second.assert_outcomes(failed=1)
    traces = [line.rpartition(" ")[2] for line in (*first, *second.outlines) if " trace " in line]
    assert len(traces) == 2
    assert len(set(traces)) == 1


@pytest.mark.parametrize(
    ("marker", "function", "problem"),
    [
        ("simulated(7)", "async def", "simulated: expected keywords among seed, policy, *, got 7"),
        ("simulated(sede=7)", "async def", "simulated: expected keywords among *, got sede"),
        ("simulated", "def", "simulated: expected an `async def` test, got a plain one*"),
    ],
)
def test_a_marker_that_means_nothing_is_refused(
    pytester: pytest.Pytester, marker: str, function: str, problem: str
) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.{marker}\n{function} test_it(): ...\n")

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([problem])


def test_without_pytest_asyncio_a_simulated_test_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin")
    pytester.makeini("")
    pytester.makepyfile("import pytest\n@pytest.mark.simulated\nasync def test_it(): ...\n")

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["simulated: expected pytest-asyncio 1.4 or later, got none; install*"]
    )


def test_a_test_has_bounds_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        import time
        import pytest

        @pytest.mark.simulated(time_limit=10)
        async def test_too_long():
            await asyncio.sleep(11)

        @pytest.mark.simulated(strict=True)
        async def test_careless():
            time.time()
        """
    )

    result = pytester.runpytest()

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*TimeLimitError: *10 virtual seconds*", "*got time.time at *"])


CLAIMING = """
    import pytest
    from poolproof.simulation import ClaimError, always, reachable, sometimes

    @pytest.mark.parametrize("number", range(4))
    def test_claims(number):
        sometimes(number == 3, "is three")
        sometimes(number == 9, "is nine")
        sometimes(number == 9, "is nine, elsewhere")
        reachable("here")
        try:
            always(number < 2, "is small", number=number)
        except ClaimError:
            pass

    def test_other(): ...

    def nobody_calls_this():
        reachable("there")
        sometimes(True, "nobody asks")
"""
UNMET = [
    "sometimes 'is nine' at *.py:7: never held in 4 times",
    "sometimes 'is nine, elsewhere' at *.py:8: never held in 4 times",
    "always 'is small' at *.py:11: failed 2 of 4 times, number=*",
    "reachable 'there' at *.py:18: never reached",
    "sometimes 'nobody asks' at *.py:19: never evaluated",
]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_unmet_claims_fail_a_session_in_which_all_tests_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,poolproof.pytest_plugin")
    pytester.makeini("")
    pytester.makepyfile(CLAIMING)

    result = pytester.runpytest_subprocess("-n", workers)

    result.assert_outcomes(passed=5)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    begin = result.outlines.index(next(line for line in result.outlines if "not met" in line))
    unmet = sorted(line.rpartition(" at ")[0] for line in result.outlines[begin + 1 : begin + 6])
    assert unmet == sorted(line.rpartition(" at ")[0] for line in UNMET)
    result.stdout.fnmatch_lines_random(UNMET)


@pytest.mark.parametrize("option", [["-k", "3 or other"], ["test_it.py::test_other"]])
def test_of_a_part_of_the_tests_no_claim_is_asked_that_nobody_evaluated(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin")
    pytester.makeini("")
    pytester.makepyfile(test_it=CLAIMING)

    result = pytester.runpytest_subprocess(*option)

    shown = result.stdout.str()
    assert "never evaluated" not in shown
    assert "never reached" not in shown
    assert ("'is nine'" in shown) == (option[0] == "-k")


def test_the_plugin_names_only_its_hooks() -> None:
    public = {name for name in vars(simulated_tests) if name.startswith("pytest_")}

    assert len(public) == 8
