"""The fixtures `stack` and `isolated_pool` in a stranger's suite."""

import pytest

pytestmark = pytest.mark.integration

SUITE = """
import asyncio

class Echo:
    def handle(self, request):
        return request

def test_of_a_stack(stack):
    async def body():
        async with stack(Echo, size=1) as running:
            assert await running.submit(1) == 1
    asyncio.run(body())

def test_of_a_pool(isolated_pool):
    async def body():
        async with isolated_pool(Echo) as pool:
            assert await pool.submit(1) == 1
            assert pool.settings.size == 2
    asyncio.run(body())

def test_of_neither():
    pass
"""


def test_each_test_runs_once_on_each_layer(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)

    found = pytester.runpytest_inprocess("--collect-only", "-q", "-p", "no:asyncio").stdout

    found.fnmatch_lines_random(
        ["*test_of_a_stack?mock?", "*test_of_a_stack?bridge_mock?", "*test_of_a_stack?full?"]
    )


def test_a_layer_can_be_chosen_by_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOLPROOF_LAYER", "mock")
    pytester.makepyfile(SUITE)

    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=2, deselected=5)


def test_an_unknown_layer_in_the_environment_is_an_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOLPROOF_LAYER", "layer_3")
    pytester.makepyfile(SUITE)

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*POOLPROOF_LAYER: expected one of mock*got 'layer_3'*"])


def test_a_fixture_of_the_same_name_keeps_its_meaning(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest\n@pytest.fixture\ndef stack():\n    return ['plate', 'plate']\n"
    )
    pytester.makepyfile("def test_plates(stack):\n    assert len(stack) == 2\n")

    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1)
