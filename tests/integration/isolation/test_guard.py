"""The guard in suites of their own, in this process: modes, policies, pins, owners, and what it says."""

from typing import Any, Final

import pytest

pytestmark = pytest.mark.integration

LEAK: Final = """
    import os

    def test_leak(): os.environ["PLANTED_HERE"] = "1"
    def test_next(): os.environ.get("PLANTED_HERE")
"""
PIN: Final = """
[[pin]]
test = "test_it.py::test_leak"
resource = "environment"
owner = "ana"
reason = "known"
expires = {expires}
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only our plugin load, and put back what the suites leave on purpose."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin")
    monkeypatch.setenv("PLANTED_HERE", "0")


def suite(pytester: pytest.Pytester, source: str, **files: str) -> None:
    pytester.makepyfile(test_it=source)
    for name, text in files.items():
        pytester.makefile(".toml", **{name.replace("_", "-"): text})


def test_a_leak_is_reported_and_nobody_fails_by_default(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK)

    result = pytester.runpytest()

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_leak: environment: PLANTED_HERE changed*",
            "poolproof: 1 leak in 2 tests (* ms CPU a clean test); --poolproof=fail, or*",
        ]
    )


def test_a_leak_fails_the_end_of_its_test_if_it_is_to(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK)

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_leak*", "left behind by test_it.py::test_leak:"]
    )


def test_the_ini_file_can_say_it_too(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK)
    pytester.makeini("[pytest]\npoolproof = fail\n")

    pytester.runpytest().assert_outcomes(passed=2, errors=1)


def test_off_does_nothing_at_all(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK)

    result = pytester.runpytest("--poolproof=off")

    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*poolproof: *")


@pytest.mark.parametrize("line", ["poolproof = maybe", "poolproof_policy = thread: forgive"])
def test_what_cannot_be_meant_is_a_usage_error(pytester: pytest.Pytester, line: str) -> None:
    suite(pytester, LEAK)
    pytester.makeini(f"[pytest]\n{line}\n")

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*poolproof*expected*got*"])


@pytest.mark.parametrize(("action", "left"), [("warn", "1"), ("restore", "0"), ("fail", "0")])
def test_a_policy_says_what_becomes_of_a_kind(
    pytester: pytest.Pytester, action: str, left: str
) -> None:
    suite(pytester, LEAK + f'    def test_left(): assert os.environ["PLANTED_HERE"] == "{left}"\n')
    pytester.makeini(f"[pytest]\npoolproof = fail\npoolproof_policy = environment: {action}\n")

    result = pytester.runpytest()

    result.assert_outcomes(passed=3, errors=int(action == "fail"))
    result.stdout.fnmatch_lines(["*PLANTED_HERE changed*"])


def test_what_is_ignored_is_not_even_said(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK)
    pytester.makeini("[pytest]\npoolproof_policy = environment: ignore\n")

    pytester.runpytest().stdout.fnmatch_lines(["poolproof: 0 leaks in 2 tests*"])


def test_a_pinned_leak_does_not_fail(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK, poolproof_pins=PIN.format(expires="2999-01-01"))

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_leak: environment: *(pinned)", "poolproof: 0 leaks*"])


def test_a_pin_ends_on_its_day(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK, poolproof_pins=PIN.format(expires="2020-01-01"))

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*its pin expired on 2020-01-01*"])


def test_a_pin_that_is_not_needed_any_more_fails(pytester: pytest.Pytester) -> None:
    suite(pytester, "def test_leak(): pass", poolproof_pins=PIN.format(expires="2999-01-01"))

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*pin: expected a leak of environment, got none*"])


def test_a_failed_test_does_not_unpin(pytester: pytest.Pytester) -> None:
    suite(pytester, "def test_leak(): assert 0", poolproof_pins=PIN.format(expires="2999-01-01"))

    pytester.runpytest("--poolproof=fail").assert_outcomes(failed=1)


def test_a_wider_fixture_is_named_when_it_ends(pytester: pytest.Pytester) -> None:
    suite(
        pytester,
        """
        import os, pytest

        @pytest.fixture(scope="module")
        def clean():
            old = os.environ["PLANTED_HERE"]
            os.environ["PLANTED_HERE"] = "2"
            yield
            os.environ["PLANTED_HERE"] = old

        @pytest.fixture(scope="module")
        def dirty(clean):
            os.environ["PLANTED_TOO"] = "1"
            yield

        def test_one(dirty): pass
        def test_two(dirty): pass
        """,
    )

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_two*", "left behind by test_it.py::dirty:", "*PLANTED_TOO set"]
    )


def test_a_test_that_breaks_in_set_up_is_asked_too(pytester: pytest.Pytester) -> None:
    suite(
        pytester,
        """
        import os, pytest

        @pytest.fixture
        def broken():
            os.environ["PLANTED_HERE"] = "1"
            assert 0

        def test_leak(broken): pass
        """,
    )

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*ERROR at setup of test_leak*", "*ERROR at teardown of test_leak*"]
    )


def test_what_an_import_makes_is_not_the_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        lazy="""
        import os, threading
        KEPT = open(__file__)
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        """
    )
    suite(pytester, "def test_it(): import lazy")

    pytester.runpytest_subprocess("--poolproof=fail").assert_outcomes(passed=1)


def test_a_file_of_a_failed_tests_frame_is_not_left_behind(pytester: pytest.Pytester) -> None:
    suite(
        pytester,
        """
        def test_it():
            file = open(__file__)
            assert 0
        """,
    )

    result = pytester.runpytest_subprocess("--poolproof=fail")

    result.assert_outcomes(failed=1)


# A shell that has ended, and what it has left: a tracker by its command line, and one that only has the name in it.
ORPHANS: Final = """
    import os, signal, subprocess, sys

    MAIN = "from multiprocessing.resource_tracker import signal; signal.pause()"

    def left(program, *arguments):
        command = '"$@" >/dev/null 2>&1 & echo $!'
        argv = ["sh", "-c", command, "sh", sys.executable, "-c", program, *arguments]
        return int(subprocess.check_output(argv))

    def test_tracker(): os.environ["PLANTED_HERE"] = str(left(MAIN))
    def test_other(): left("import signal; signal.pause()", "resource_tracker")
    def test_end(): os.kill(int(os.environ.pop("PLANTED_HERE")), signal.SIGKILL)
"""


def test_a_tracker_of_the_dead_goes_by_itself_and_is_no_leak(pytester: pytest.Pytester) -> None:
    suite(pytester, ORPHANS)

    result = pytester.runpytest_subprocess("-o", "poolproof_policy=environment: ignore")

    result.stdout.fnmatch_lines(
        ["test_it.py::test_other: orphan:*", "poolproof: 1 leak in 3 tests*"]
    )


def test_the_leak_is_a_property_of_the_report(pytester: pytest.Pytester) -> None:
    suite(pytester, LEAK)
    reports: Any = pytester.inline_run().getreports("pytest_runtest_logreport")

    ends = {r.nodeid: dict(r.user_properties) for r in reports if r.when == "teardown"}
    assert ends["test_it.py::test_next"] == {"poolproof_leaks": []}
    ((leak,),) = ends["test_it.py::test_leak"].values()
    assert (leak["resource"], leak["owner"]) == ("environment", "test_it.py::test_leak")
    assert leak["action"] == "warn"


def test_nothing_sleeps_in_a_clean_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(pytester, "def test_it(tmp_path): (tmp_path / 'file').write_text('x')")
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: pytest.exit(f"slept for {seconds} s"))
        result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=1)


def test_where_it_cannot_look_it_says_so(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(pytester, LEAK)
    monkeypatch.setattr("poolproof.pytest_plugin._ON_LINUX", False)

    result = pytester.runpytest("--poolproof=fail")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["poolproof: the guard needs Linux, got *not looked for here"])


@pytest.mark.parametrize("mode", ["report", "fail"])
def test_a_guard_that_breaks_says_so_and_breaks_no_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def broken(_: object) -> None:
        raise ValueError("not today")

    suite(pytester, LEAK)
    with monkeypatch.context() as patch:
        patch.setattr("poolproof.isolation.resources.loggers.Loggers.look", broken)
        result = pytester.runpytest(f"--poolproof={mode}")

    result.assert_outcomes(passed=2, errors=0 if mode == "report" else 2)
    result.stdout.fnmatch_lines(["*guard: could not look: ValueError('not today')*"])
