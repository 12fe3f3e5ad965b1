"""The sandbox's fixtures, in suites of their own.

Long because each suite stands here as a stranger would write it.
"""

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from poolproof.isolation import linux, locks
from poolproof.isolation.exclusion import Exclusion

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of its own, and no plugin that is not needed."""
    place = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin")
    return place


ASYNCIO = (
    *("-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*options)


class TestIsolation:
    def test_each_test_has_its_own_and_nothing_is_left(
        self, pytester: pytest.Pytester, home: Path
    ) -> None:
        pytester.makepyfile("""
            import pytest
            seen = set()

            @pytest.mark.parametrize("number", range(3))
            def test_it(isolation, number):
                places = {isolation.name("x"), isolation.job_id(), isolation.tenant("a"),
                          str(isolation.dir()), isolation.port().getsockname()}
                assert not places & seen
                seen.update(places)
        """)
        result = run(pytester, "--poolproof=fail")

        result.assert_outcomes(passed=3)
        assert [path.name for path in home.rglob("*") if path.name != "ports"] == [
            next(home.iterdir()).name
        ]
        result.stdout.re_match_lines(
            [
                r"sandbox, layer mock: 3 tests; set-up .* p95; clean-up .* p95; \d+ of \d+ clean-ups verified"
            ]
        )

    def test_a_process_that_was_left_is_ended_and_is_a_leak_of_that_test(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            import subprocess
            def test_leaky(isolation):
                global child
                child = subprocess.Popen(["sleep", "600"])

            def test_next(isolation):
                assert child.wait(10) == -15
        """)
        result = run(pytester, "--poolproof=fail")

        result.assert_outcomes(passed=2, errors=1)
        result.stdout.fnmatch_lines(
            ["left behind by *::test_leaky:", "*child: process * (sleep 600)*"]
        )

    def test_a_clean_up_that_is_not_complete_is_an_error_of_its_test(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            class Stuck:
                def close(self):
                    raise OSError("stuck")

            def test_stuck(isolation):
                isolation.isolated(Stuck)
                isolation.dir()

            def test_next(isolation): ...
        """)
        result = run(pytester, "--poolproof=off")

        result.assert_outcomes(passed=2, errors=1)
        result.stdout.fnmatch_lines(
            [
                "*CleanupError: expected everything of this sandbox to be released, got *OSError('stuck')*"
            ]
        )
        result.stdout.re_match_lines([r".* (\d+) of (?!\1 )\d+ clean-ups verified"])

    def test_the_tests_own_failure_stays_what_it_is(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            def test_broken(isolation):
                isolation.dir()
                assert 0
        """)

        run(pytester, "--poolproof=fail").assert_outcomes(failed=1)

    def test_a_process_of_a_wider_fixture_outlives_the_test_that_asked_for_it(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            import subprocess, pytest

            @pytest.fixture(scope="session")
            def server():
                with subprocess.Popen(["sleep", "600"]) as process:
                    yield process
                    process.kill()

            def test_first(isolation, request):
                assert request.getfixturevalue("server").poll() is None

            def test_second(isolation, server):
                assert server.poll() is None
        """)

        run(pytester, "--poolproof=off").assert_outcomes(passed=2)

    def test_homes_are_redirected_by_the_ini_file(self, pytester: pytest.Pytester) -> None:
        pytester.makeini("[pytest]\npoolproof_redirect = HOME XDG\n")
        pytester.makepyfile("""
            import os
            from pathlib import Path

            def test_it(isolation):
                assert Path.home() == isolation.dir("home")
                assert os.environ["XDG_CACHE_HOME"] == str(isolation.dir("cache"))
        """)

        run(pytester, "--poolproof=fail").assert_outcomes(passed=1)

    def test_an_earlier_attempt_has_left_nothing_to_the_next(
        self, pytester: pytest.Pytester
    ) -> None:
        pytest.importorskip("pytest_rerunfailures")
        pytester.makepyfile("""
            import subprocess
            names = []

            def test_flaky(isolation):
                names.append(isolation.name("x"))
                assert not (isolation.dir() / "file").exists()
                (isolation.dir() / "file").touch()
                assert len(set(names)) == len(names) == 3
        """)
        result = run(pytester, "-p", "pytest_rerunfailures", "--reruns=2", "--poolproof=off")

        result.stdout.fnmatch_lines(["*1 passed, 2 rerun in *"])

    def test_a_suite_with_a_fixture_of_that_name_keeps_its_own(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeconftest("""
            import pytest
            @pytest.fixture
            def isolation(): return "mine"
        """)
        pytester.makepyfile("def test_it(isolation): assert isolation == 'mine'")

        run(pytester).assert_outcomes(passed=1)


class TestAsync:
    def test_tasks_end_in_the_tests_own_loop_before_it_is_closed(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            import asyncio
            ends = []

            async def work():
                try:
                    await asyncio.Event().wait()
                finally:
                    ends.append(asyncio.get_running_loop().is_running())

            async def test_tasks(async_isolation, isolation):
                assert async_isolation is isolation
                async_isolation.track_task(asyncio.ensure_future(work()))
                await asyncio.sleep(0)

            class TestIt:
                async def test_method(self, isolation):
                    isolation.spawn(work())
                    await asyncio.sleep(0)

            async def test_failing(isolation):
                isolation.spawn(work())
                await asyncio.sleep(0)
                assert 0

            def test_after():
                assert ends == [True, True, True]
        """)
        result = run(pytester, *ASYNCIO, "--poolproof=fail")

        result.assert_outcomes(passed=3, failed=1)

    def test_anyio_runs_it_as_well(self, pytester: pytest.Pytester) -> None:
        pytest.importorskip("anyio")
        pytester.makepyfile("""
            import asyncio, pytest
            ends = []

            @pytest.fixture
            def anyio_backend(): return "asyncio"

            async def work():
                try:
                    await asyncio.Event().wait()
                finally:
                    ends.append("ended")

            @pytest.mark.anyio
            async def test_tasks(async_isolation):
                async_isolation.spawn(work())
                await asyncio.sleep(0)

            def test_after():
                assert ends == ["ended"]
        """)

        run(pytester, "-p", "anyio.pytest_plugin", "--poolproof=off").assert_outcomes(passed=2)

    def test_each_example_of_hypothesis_ends_its_own(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import asyncio
            from hypothesis import HealthCheck, given, settings, strategies as st
            running = []

            async def work():
                running.append(1)
                try:
                    await asyncio.Event().wait()
                finally:
                    running.pop()

            @given(number=st.integers())
            @settings(max_examples=5, deadline=None, database=None,
                      suppress_health_check=[HealthCheck.function_scoped_fixture])
            async def test_it(async_isolation, number):
                assert running == []
                async_isolation.spawn(work())
                await asyncio.sleep(0)
        """)

        run(pytester, *ASYNCIO, "--poolproof=off").assert_outcomes(passed=1)

    def test_a_task_that_fails_unseen_is_told(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import asyncio

            async def fail(): raise ValueError("unseen")

            async def test_it(async_isolation):
                async_isolation.spawn(fail(), name="failing")
                await asyncio.sleep(0)
        """)
        result = run(pytester, *ASYNCIO, "--poolproof=off")

        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["*task failing raised ValueError('unseen')*"])

    def test_a_test_that_is_not_asynchronous_is_told_what_to_take(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("def test_it(async_isolation): ...")
        result = run(pytester, "--poolproof=off")

        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            ["*expected an async test for async_isolation, got *::test_it;*"]
        )

    def test_blocks_have_sandboxes_of_their_own(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import asyncio

            async def test_it(async_isolation_context, isolation):
                async with async_isolation_context("a") as one, async_isolation_context("b") as two:
                    assert len({one.name("x"), two.name("x"), isolation.name("x")}) == 3
                    task = one.spawn(asyncio.Event().wait())
                assert task.cancelled()
        """)

        run(pytester, *ASYNCIO, "--poolproof=fail").assert_outcomes(passed=1)

    def test_services_are_made_for_each_test_and_ended_in_its_loop(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            import asyncio
            from poolproof.isolation.fixtures import isolated

            class Mailer:
                made = []
                def __init__(self, host):
                    self.host, self.closed = host, False
                    Mailer.made.append(self)
                async def aclose(self):
                    await asyncio.sleep(0)
                    self.closed = True

            isolated_mailer = isolated(Mailer, "localhost")

            async def test_one(isolated_mailer): assert isolated_mailer.host == "localhost"
            async def test_two(isolated_mailer): assert Mailer.made[0].closed
        """)

        run(pytester, *ASYNCIO, "--poolproof=off").assert_outcomes(passed=2)

    def test_mock_services_are_the_tests_own(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            @pytest.mark.parametrize("number", range(2))
            async def test_it(mock_service_factory, number):
                kafka = mock_service_factory("kafka_service")
                assert kafka is mock_service_factory("kafka_service")
                assert kafka.journal == []
                await kafka.send("x")
        """)

        run(pytester, *ASYNCIO, "--poolproof=off").assert_outcomes(passed=2)


class TestEvents:
    def test_a_wait_that_runs_out_of_time_is_shown_with_the_failure(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            async def test_it(event_coordinator):
                event_coordinator.create_barrier("ready", timeout=0.01)
                event_coordinator.signal_event("other", data=1)
                assert await event_coordinator.wait_for_event("other")
                assert await event_coordinator.wait_for_event("ready")
        """)
        result = run(pytester, *ASYNCIO, "--poolproof=off")

        result.assert_outcomes(failed=1)
        result.stdout.re_match_lines(
            [r".*event 'ready': .*waits 'ready'.*signalled 'other' with 1.*"]
        )


SUPERVISED = """
    import asyncio
    import pytest
    from poolproof.supervision import ChildSpec, start_isolated_supervisor
    trees = []

    async def forever():
        await asyncio.Event().wait()

    def tree():
        children = [ChildSpec(id=f"worker_{index}", start=forever) for index in range(4)]
        return start_isolated_supervisor(children, max_restarts=1)

    @pytest.mark.parametrize("number", range(3))
    async def test_it(isolated_test, number):
        assert isolated_test.layer == "mock"
        mine = await isolated_test.enter(tree(), proof=lambda: mine.reason is not None)
        assert all(other.reason is not None for other in trees)
        assert mine.scope.token not in {other.scope.token for other in trees}
        trees.append(mine)

    @pytest.mark.layer("full")
    async def test_full(isolated_test):
        assert isolated_test.layer == "full"
        await isolated_test.enter(tree(), layer="bridge_mock")
"""


class TestIsolatedTest:
    def test_each_test_has_a_tree_of_its_own_and_its_cost_is_told_by_layer(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(SUPERVISED)
        result = run(pytester, *ASYNCIO, "--poolproof=off")

        result.assert_outcomes(passed=4)
        result.stdout.re_match_lines(
            [
                r"sandbox, layer bridge_mock: 1 tests; .*",
                r"sandbox, layer mock: 3 tests; .* 6 of 6 clean-ups verified",
            ]
        )


# One suite beside each plugin that may run a test in another way: everything handed over is ended, nothing is left.
BESIDE = """
    import asyncio, subprocess, time
    from pathlib import Path
    import pytest

    ended = Path(__file__).parent / "ended"

    @pytest.fixture
    def note(isolation):
        class Service:
            def close(self):
                ended.open("a").write("x")
        isolation.isolated(Service)

    def test_passes(isolation, note):
        isolation.dir(), isolation.port(), isolation.name("x")

    def test_fails(isolation, note):
        isolation.setenv("BESIDE", "1")
        assert 0

    @pytest.mark.timeout(0.5, func_only=True)
    @pytest.mark.serial(group="a")
    def test_takes_too_long(isolation, note):
        isolation.redirect()
        while SLOW:
            time.sleep(0.01)
        assert 0
"""
PLUGINS = {
    "timeout": ("-p", "pytest_timeout"),
    "rerunfailures": ("-p", "pytest_rerunfailures", "--reruns=1"),
    "randomly": ("-p", "randomly"),
    "cov": ("-p", "pytest_cov", "--cov=."),
    "xdist": ("-p", "xdist", "-n1"),
    "asyncio": ASYNCIO,
    "anyio": ("-p", "anyio.pytest_plugin"),
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_beside_each_plugin_every_sandbox_ends_as_it_should(
    pytester: pytest.Pytester, home: Path, plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(BESIDE.replace("SLOW", str(plugin == "timeout")))
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # pytest-cov erases the data file that it finds there
    settings = pytester.path / ".coveragerc"
    settings.write_text("[run]\ndata_file = cov\n")
    result = pytester.runpytest_subprocess(*PLUGINS[plugin], "--poolproof=off")
    runs = 2 if plugin == "rerunfailures" else 1

    result.stdout.re_match_lines([r".*\b2 failed, 1 passed.*"])
    assert (pytester.path / "ended").read_text() == "x" * (1 + 2 * runs)
    result.stdout.re_match_lines(
        [r"sandbox, layer mock: \d tests; .* (\d+) of \1 clean-ups verified"]
    )
    assert [path for path in home.rglob("*") if path.name.endswith((".lease", ".begun"))] == []


def test_waiting_for_a_lock_does_not_count_for_a_time_limit(pytester: pytest.Pytester) -> None:
    """The limit is 1 s; the lock is let go only when the test has waited longer than that."""
    pytester.makepyfile("""
        import time, pytest

        @pytest.mark.resource("db")
        def test_it(request):
            assert dict(request.node.user_properties)["poolproof_waited"] > 1
    """)
    folder = Exclusion("", 1, "worker")._path("resource db", pytester.path)
    held = locks.acquire(folder, "write", "another run", 1)

    def let_go_later() -> None:
        deadline = time.monotonic() + 30
        while len(list(folder.glob("*.write"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        waits_since = time.monotonic()
        while time.monotonic() < waits_since + 1.2:
            time.sleep(0.01)
        held.release()

    releaser = threading.Thread(target=let_go_later)
    releaser.start()
    result = pytester.runpytest_subprocess(
        *PLUGINS["timeout"], "-o", "timeout=1", "--poolproof=off"
    )
    releaser.join()

    result.assert_outcomes(passed=1)


def test_on_another_platform_one_line_says_so(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("""
        import pytest

        def test_box(isolation): ...

        @pytest.mark.serial("x")
        def test_order(): ...

        def test_other(): ...
    """)
    monkeypatch.setattr(linux, "sys", SimpleNamespace(platform="win32"))
    result = run(pytester, "--poolproof=off")

    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*expected Linux for a sandbox, got win32; not available here",
            "*expected Linux for serial, resource and poolproof_parallel, got win32; not *",
        ]
    )
