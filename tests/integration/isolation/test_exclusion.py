"""Which locks a test takes, what is refused, and what is told of the waiting."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolproof.isolation import leases, locks
from poolproof.isolation.exclusion import Exclusion

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and locks of its own, and no plugin that is not needed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin")


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("--poolproof=off", *options)


# Says what every test waited for, as its properties have it.
TELL = """
    def pytest_runtest_logreport(report):
        if report.when == "call":
            waits = dict(report.user_properties).get("poolproof_waits", [])
            print("TOOK", report.nodeid.split("::")[-1], [wait[:2] for wait in waits])
"""


def took(result: pytest.RunResult) -> dict[str, str]:
    lines = [line.partition("TOOK ")[2] for line in result.outlines if "TOOK " in line]
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}


class TestMarkers:
    def test_each_test_takes_the_locks_of_its_markers_in_one_order(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeconftest(TELL)
        pytester.makepyfile("""
            import pytest
            pytestmark = pytest.mark.resource("file", "read")

            @pytest.mark.serial(group="db")
            class TestIt:
                @pytest.mark.resource("cache")
                def test_all(self): ...

            @pytest.mark.resource("file", mode="write")
            def test_write(): ...

            @pytest.mark.serial("x")
            @pytest.mark.serial(group=None)
            def test_groups(): ...
        """)
        result = run(pytester, "-s", "--strict-markers")

        result.assert_outcomes(passed=3)
        assert took(result) == {
            "test_all": "[['resource cache', 'write'], ['resource file', 'read'], ['serial db', 'write']]",
            "test_write": "[['resource file', 'write']]",
            # The only process of its run: each of its tests is alone in it without a lock.
            "test_groups": "[['resource file', 'read'], ['serial x', 'write']]",
        }

    @pytest.mark.parametrize(
        ("marker", "got"),
        [
            ("serial(1)", "serial.1."),
            ("serial('a', 'b')", "serial.'a', 'b'."),
            ("serial(name='a')", "serial.name='a'."),
            ("resource", "resource.."),
            ("resource(3)", "resource.3."),
            ("resource('a', 'both')", "resource.'a', 'both'."),
            ("resource('a', 'read', 1)", "resource.'a', 'read', 1."),
            ("resource('a', exclusive=True)", "resource.'a', exclusive=True."),
        ],
    )
    def test_a_marker_that_cannot_be_meant_so_is_refused(
        self, pytester: pytest.Pytester, marker: str, got: str
    ) -> None:
        pytester.makepyfile(f"import pytest\n@pytest.mark.{marker}\ndef test_it(): ...")
        result = run(pytester)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.re_match_lines([rf".*::test_it: expected .*, got {got}"])

    def test_all_bad_markers_are_named_at_once(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest
            @pytest.mark.serial(1)
            def test_a(): ...
            @pytest.mark.resource()
            def test_b(): ...
        """)
        result = run(pytester)

        result.stderr.fnmatch_lines(["*::test_a: expected*", "*::test_b: expected*"])

    def test_a_suite_with_markers_of_these_names_keeps_their_meaning(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeini("[pytest]\nmarkers =\n  serial: of a number\n  resource(x): of a forest\n")
        pytester.makeconftest(TELL)
        pytester.makepyfile("""
            import pytest
            @pytest.mark.serial(4711)
            @pytest.mark.resource
            def test_it(): ...
        """)
        result = run(pytester, "-s", "--strict-markers")

        result.assert_outcomes(passed=1)
        assert took(result) == {"test_it": "[]"}

    def test_without_any_marker_nothing_is_locked_and_nothing_is_told(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("def test_it(): ...")
        result = run(pytester)

        result.stdout.no_fnmatch_line("*poolproof: sandboxes and locks*")
        assert not (leases.home() / leases.LOCKS).exists()


class TestParallel:
    def test_a_directory_decides_by_its_conftest_and_the_nearest_one_counts(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeconftest(TELL)
        for place, value in (("one", "off"), ("one/two", "worker"), ("three", "file")):
            folder = pytester.path / place
            folder.mkdir()
            (folder / "conftest.py").write_text(f"poolproof_parallel = {value!r}")
            name = place.replace("/", "_")
            (folder / f"test_{name}.py").write_text(f"def test_{name}(): ...")
        result = run(pytester, "-s")
        found = took(result)

        assert found["test_one"] == f"[['serial {pytester.path / 'one'}', 'write']]"
        assert found["test_one_two"] == "[]"
        assert (
            found["test_three"] == f"[['serial {pytester.path / 'three/test_three.py'}', 'write']]"
        )

    def test_the_ini_key_is_for_all_others(self, pytester: pytest.Pytester) -> None:
        pytester.makeini("[pytest]\npoolproof_parallel = off\n")
        pytester.makeconftest(TELL)
        pytester.makepyfile("def test_it(): ...")

        assert took(run(pytester, "-s")) == {"test_it": f"[['serial {pytester.path}', 'write']]"}

    def test_another_value_is_refused(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest("poolproof_parallel = False")
        pytester.makepyfile("def test_it(): ...")
        result = run(pytester)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            ["*conftest.py: expected poolproof_parallel to be one of off, file, worker, got False*"]
        )

    @pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
    def test_a_time_out_that_is_none_is_refused(
        self, pytester: pytest.Pytester, value: str
    ) -> None:
        pytester.makeini(f"[pytest]\npoolproof_lock_timeout = {value}\n")
        result = run(pytester)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*poolproof_lock_timeout to be a number*got '{value}'*"])


SUITE = """
    import pytest

    @pytest.mark.resource("db")
    def test_it(): ...

    def test_other(): ...
"""


@pytest.fixture
def held(pytester: pytest.Pytester) -> Iterator[locks.Ticket]:
    """The lock of `SUITE`, as another run of the same project would hold it."""
    path = lock_of(pytester, "resource db")
    ticket = locks.acquire(path, "write", "another run", 1)
    yield ticket
    ticket.release()


def lock_of(pytester: pytest.Pytester, lock: str) -> Path:
    return Exclusion("", 1, "worker")._path(lock, pytester.path)


class TestWaiting:
    @pytest.mark.usefixtures("held")
    def test_a_lock_that_is_not_to_be_had_in_time_fails_its_test_alone(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeini("[pytest]\npoolproof_lock_timeout = 0.05\n")
        pytester.makepyfile(SUITE)
        result = run(pytester)

        result.assert_outcomes(errors=1, passed=1)
        result.stdout.fnmatch_lines(
            ["*LockTimeoutError: expected write lock resource-db-* within 0.05 s, got another run*"]
        )

    def test_the_summary_says_what_the_waiting_cost_and_behind_whom(
        self, pytester: pytest.Pytester, held: locks.Ticket
    ) -> None:
        pytester.makepyfile(SUITE)
        folder = lock_of(pytester, "resource db")

        def let_go_when_somebody_waits() -> None:
            deadline = time.monotonic() + 20
            while len(list(folder.glob("*.write"))) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            held.release()

        releaser = threading.Thread(target=let_go_when_somebody_waits)
        releaser.start()
        result = run(pytester)
        releaser.join()

        result.assert_outcomes(passed=2)
        result.stdout.re_match_lines(
            [
                (
                    r"lock resource db: 1 tests, [01] of them held up, \d+\.\d\d s in all;"
                    r" longest \d+\.\d\d s: .*::test_it behind another run"
                )
            ]
        )

    def test_locks_are_let_go_after_the_test_and_gone_after_the_run(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(SUITE)
        run(pytester).assert_outcomes(passed=2)

        assert not lock_of(pytester, "resource db").exists()
        assert list((leases.home() / leases.LOCKS).iterdir()) == []

    def test_the_lock_is_held_through_set_up_and_tear_down(self, pytester: pytest.Pytester) -> None:
        path = lock_of(pytester, "resource db")
        pytester.makepyfile(f"""
            import os, pytest

            def held():
                return os.path.exists({str(path / "00000001.write")!r})

            @pytest.fixture
            def place():
                assert held()
                yield
                assert held()

            @pytest.mark.resource("db")
            def test_it(place):
                assert held()

            def test_after():
                assert not held()
        """)

        run(pytester).assert_outcomes(passed=2)
