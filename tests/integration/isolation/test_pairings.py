"""The guard beside other plugins: each still does what it is for, leaks are found, clean tests are not accused."""

from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.suites import run

pytestmark = pytest.mark.integration

LEAK: Final = "test_leak", "environment"
PLAIN: Final = """
    import os

    def test_before(): pass
    def test_leak(): os.environ["PLANTED"] = "1"
    def test_after(): assert "PLANTED" not in os.environ
"""


def test_xdist_tells_the_controller_of_leaks_in_workers(tmp_path: Path) -> None:
    outcome = run(tmp_path, PLAIN, "--poolproof=fail", "-n2", plugins=("xdist.plugin",))

    assert outcome.leaks() == [LEAK]
    assert outcome.outcomes("call") == dict.fromkeys(
        ("test_before", "test_leak", "test_after"), "passed"
    )
    assert "1 leak in 3 tests" in outcome.output
    assert "(0.00 ms" not in outcome.output


def test_asyncio_loops_of_every_scope_are_no_leaks(tmp_path: Path) -> None:
    suite = """
        import asyncio, pytest, pytest_asyncio

        @pytest_asyncio.fixture(scope="session", loop_scope="session")
        async def pinger():
            task = asyncio.create_task(asyncio.Event().wait())
            yield task
            task.cancel()

        @pytest_asyncio.fixture
        async def brief():
            task = asyncio.create_task(asyncio.Event().wait())
            yield
            task.cancel()

        @pytest.mark.asyncio(loop_scope="session")
        async def test_wide(pinger): assert not pinger.done()

        @pytest.mark.asyncio
        async def test_narrow(brief): await asyncio.to_thread(int)

        @pytest.mark.asyncio(loop_scope="session")
        async def test_leak(pinger): asyncio.create_task(asyncio.Event().wait())

        @pytest.mark.asyncio(loop_scope="session")
        async def test_wide_again(pinger): await asyncio.to_thread(int)
    """
    outcome = run(tmp_path, suite, "--poolproof=fail", plugins=("pytest_asyncio.plugin",))

    assert outcome.leaks() == [("test_leak", "task")]
    assert set(outcome.outcomes("call").values()) == {"passed"}


def test_anyio_runs_its_tests_and_fixtures_unaccused(tmp_path: Path) -> None:
    suite = """
        import anyio, asyncio, pytest

        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="module")
        def anyio_backend(): return "asyncio"

        @pytest.fixture(scope="module")
        async def group():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                yield group
                group.cancel_scope.cancel()

        async def test_group(group): await anyio.to_thread.run_sync(int)
        async def test_leak(): asyncio.create_task(asyncio.Event().wait())
        async def test_clean(): await anyio.sleep(0)
    """
    outcome = run(tmp_path, suite, "--poolproof=fail", plugins=("anyio.pytest_plugin",))

    assert outcome.leaks() == [("test_leak", "task")]
    assert set(outcome.outcomes("call").values()) == {"passed"}


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_timeout_ends_a_test_and_leaves_the_others(tmp_path: Path, method: str) -> None:
    suite = """
        import os, pytest, signal

        def test_clean(): pass

        @pytest.mark.timeout(0.3)
        def test_leak():
            os.environ["PLANTED"] = "1"
            signal.pause()

        def test_after(): assert "PLANTED" not in os.environ
    """
    options = ("-n1", "--poolproof=fail", "--timeout=20", f"--timeout-method={method}")
    outcome = run(tmp_path, suite, *options, plugins=("pytest_timeout", "xdist.plugin"))

    calls = {**outcome.outcomes("???"), **outcome.outcomes("call")}
    assert calls["test_clean"] == calls["test_after"] == "passed"
    assert calls["test_leak"] == "failed"
    assert outcome.leaks() == ([LEAK] if method == "signal" else [])


def test_rerunfailures_judges_each_attempt(tmp_path: Path) -> None:
    suite = """
        import os
        ATTEMPTS = []

        def test_leak():
            ATTEMPTS.append(1)
            if len(ATTEMPTS) == 1:
                os.environ["PLANTED"] = "1"
                assert False
            assert "PLANTED" not in os.environ

        def test_after(): assert "PLANTED" not in os.environ
    """
    options = ("--poolproof=fail", "--reruns=1")
    outcome = run(tmp_path, suite, *options, plugins=("pytest_rerunfailures",))

    assert outcome.exit_code == 0, outcome.output
    assert outcome.outcomes("call") == {"test_leak": "passed", "test_after": "passed"}


def test_randomly_may_shuffle_and_reseed(tmp_path: Path) -> None:
    outcome = run(tmp_path, PLAIN, "--poolproof=fail", plugins=("pytest_randomly",))

    assert outcome.leaks() == [LEAK]
    assert set(outcome.outcomes("call").values()) == {"passed"}


@pytest.mark.slow
def test_cov_measures_children_that_were_ended_too_and_is_not_accused(tmp_path: Path) -> None:
    child = """
    import subprocess, sys

    def test_child():
        program = "import sys, signal; print('ready', flush=True); signal.pause()"
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\\n"
        child.stdout.close()
    """
    options = ("--poolproof=fail", "--cov=.", "--cov-report=term", "--cov-branch")
    outcome = run(tmp_path, PLAIN + child, *options, plugins=("pytest_cov.plugin",))

    assert outcome.leaks() == [LEAK, ("test_child", "child")]
    assert "test_it.py" in outcome.output
    assert "100%" in outcome.output


def test_hypothesis_examples_are_looked_at_one_by_one(tmp_path: Path) -> None:
    suite = """
        import asyncio, os, pytest
        from hypothesis import given, settings, strategies as st

        quick = settings(max_examples=10, database=None)

        @pytest.mark.asyncio
        @quick
        @given(st.integers())
        async def test_leak(number):
            assert len(asyncio.all_tasks()) == 1
            asyncio.create_task(asyncio.Event().wait())

        @quick
        @given(st.integers())
        def test_plain(number): assert number == number

        @pytest.mark.asyncio
        @quick
        @given(st.integers())
        async def test_clean(number): await asyncio.gather(asyncio.sleep(0))
    """
    plugins = ("pytest_asyncio.plugin", "_hypothesis_pytestplugin")
    outcome = run(tmp_path, suite, "--poolproof=fail", plugins=plugins)

    assert set(outcome.leaks()) == {("test_leak", "task")}
    assert set(outcome.outcomes("call").values()) == {"passed"}
