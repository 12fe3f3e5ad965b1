"""The plugin's markers and its option `--layer`, in suites of their own."""

import pytest

from poolproof import pytest_plugin

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def no_other_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for installed plugins costs half a second a suite."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin")


LAYERED = """
    import pytest

    @pytest.mark.layer("mock")
    def test_mock(): ...

    @pytest.mark.layer("mock", "full")
    def test_both(layer):
        assert layer in ("mock", "full")

    def test_of_no_layer(): ...
"""


def passed(result: pytest.RunResult) -> list[str]:
    words = [line.split() for line in result.outlines]
    return [line[0].partition("::")[2] for line in words if "PASSED" in line]


def test_all_layers_and_the_tests_of_none_run_by_default(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LAYERED)

    result = pytester.runpytest("-v")

    assert passed(result) == ["test_mock", "test_both[mock]", "test_both[full]", "test_of_no_layer"]


def test_a_layer_asked_for_runs_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LAYERED)

    result = pytester.runpytest("-v", "--layer", "full")

    assert passed(result) == ["test_both[full]"]
    result.assert_outcomes(passed=1, deselected=3)


def test_a_layer_without_tests_is_not_a_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LAYERED)

    result = pytester.runpytest("--layer", "bridge_mock")

    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_unknown_layer_on_the_command_line_is_an_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--layer", "moc")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*invalid choice: 'moc'*mock*bridge_mock*full*all*"])


@pytest.mark.parametrize("arguments", ["'moc'", "'mock', 3", ""])
def test_an_unknown_layer_in_a_marker_is_an_error(
    pytester: pytest.Pytester, arguments: str
) -> None:
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.layer({arguments})
        def test_it(layer): ...
    """)

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*expected layers among mock, bridge_mock, full, got *"])


def test_every_bad_marker_is_named_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.layer("x")
        def test_one(): ...

        @pytest.mark.layer("y")
        def test_two(): ...
    """)

    result = pytester.runpytest()

    result.stderr.fnmatch_lines(["*::test_one: expected*got 'x'", "*::test_two: expected*got 'y'"])


def test_several_layers_without_the_argument_are_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.layer("mock", "full")
        def test_it(): ...
    """)

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*::test_it: has several layers*the argument `layer`*"])


def test_the_layer_reaches_the_junit_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LAYERED)

    pytester.runpytest("--layer", "full", "--junitxml=out.xml")

    assert 'name="layer" value="full"' in (pytester.path / "out.xml").read_text()


def test_a_suite_with_a_marker_layer_of_its_own_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = layer(number): of an onion\n")
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def layer():
            return "mine"

        @pytest.mark.layer(3)
        def test_it(layer):
            assert layer == "mine"
    """)

    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("wanted", ["perf", "performance"])
def test_perf_and_performance_are_one_marker(pytester: pytest.Pytester, wanted: str) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.perf
        def test_short(): ...

        @pytest.mark.performance
        def test_long(): ...

        def test_other(): ...
    """)

    result = pytester.runpytest("-v", "-m", wanted)

    assert passed(result) == ["test_short", "test_long"]


def test_every_marker_is_registered_for_strict_suites(pytester: pytest.Pytester) -> None:
    names = ["unit", "integration", "chaos", "perf", "performance", "slow", "service('redis')"]
    lines = [f"@pytest.mark.{name}\n" for name in [*names, "layer('mock')"]]
    pytester.makepyfile("import pytest\n" + "".join(lines) + "def test_it(): ...")

    pytester.runpytest("--strict-markers").assert_outcomes(passed=1)


def test_a_marker_that_nobody_registered_stays_an_error_in_strict_suites(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.untit\ndef test_it(): ...")

    pytester.runpytest("--strict-markers").assert_outcomes(errors=1)


def test_the_plugin_is_found_by_being_installed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    result = pytester.runpytest("--markers")

    result.stdout.fnmatch_lines(["@pytest.mark.unit:*", "@pytest.mark.layer(name, ...):*"])


def test_loading_the_plugin_imports_only_pytest_and_the_standard_library(
    pytester: pytest.Pytester,
) -> None:
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import poolproof.pytest_plugin\n"
        "print(sorted(set(sys.modules) - before))"
    )

    result = pytester.runpython_c(program)

    assert result.outlines == ["['poolproof', 'poolproof.pytest_plugin']"]


def test_the_layers_are_those_of_the_design() -> None:
    assert pytest_plugin.LAYERS == ("mock", "bridge_mock", "full")
