"""`poolproof bisect` on suites with a planted polluter: it is found in few runs, and so is what it polluted."""

from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.wrong_suites import found, ran, suite

# Each of a dozen starts of pytest takes its time on a busy machine.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MODULES: Final = 20
TESTS: Final = 25
APP: Final = """
MODE = "quick"
CACHE: dict[str, int] = {}
"""


def innocent(number: int) -> str:
    """Return a module of tests that use what the others use, and leave it as it was."""
    return "import app\n" + "".join(
        f"def test_{number:02}_{each:02}():\n    assert app.CACHE is not None\n"
        for each in range(TESTS)
    )


def planted(folder: Path, *, modules: int, polluter: str, victim: str) -> Path:
    """Write modules of 25 tests, one of which spoils another one."""
    files = {f"test_{number:02}": innocent(number) for number in range(modules)}
    for test, line in ((polluter, "app.MODE = 'slow'"), (victim, "assert app.MODE == 'quick'")):
        name, head = test.partition(".")[0], f"def {test.rpartition('::')[2]}():\n"
        files[name] = files[name].replace(head, f"{head}    {line}\n")
    return suite(folder, app=APP, **files)


MODE_IS_SLOW: Final = {
    "resource": "global",
    "what": "app.MODE",
    "passing": "'quick'",
    "failing": "'slow'",
    "where": "",
}


def test_a_polluter_among_500_tests_is_found_in_12_runs_with_its_resource(tmp_path: Path) -> None:
    polluter, victim = "test_08.py::test_08_03", "test_19.py::test_19_24"
    folder = planted(tmp_path, modules=20, polluter=polluter, victim=victim)

    code, answer = found(folder, "bisect", victim)

    assert (code, answer["kind"], answer["candidates"]) == (1, "polluted", 499)
    assert (answer["others"], answer["resources"][0]) == ([polluter], MODE_IS_SLOW)
    assert answer["runs"] <= 12


def test_only_what_the_same_xdist_worker_ran_before_is_suspected(tmp_path: Path) -> None:
    polluter, victim = "test_01.py::test_01_20", "test_01.py::test_01_24"
    folder = planted(tmp_path, modules=2, polluter=polluter, victim=victim)

    code, answer = found(folder, "bisect", "--workers", "2", victim, "--", "--dist", "loadfile")

    assert (code, answer["others"], answer["resources"][0]) == (1, [polluter], MODE_IS_SLOW)
    assert answer["candidates"] == 24


POLLUTERS: Final = {
    "environment": (
        "os.environ['MODE'] = 'slow'",
        "'MODE' not in os.environ",
        "environment",
        "MODE",
    ),
    "function": ("time.time = lambda: 0", "time.time() > 0", "function", "time.time"),
}


@pytest.mark.parametrize("kind", POLLUTERS)
def test_each_kind_of_resource_is_named(kind: str, tmp_path: Path) -> None:
    pollutes, holds, resource, what = POLLUTERS[kind]
    files = {
        "app": APP,
        "test_it": f"""
            import app, logging, os, time

            def test_innocent():
                app.used = True

            def test_polluter():
                {pollutes}

            def test_other():
                logging.getLogger("a").setLevel(10)

            def test_victim():
                assert {holds}
        """,
    }

    code, answer = found(suite(tmp_path, **files), "bisect", "test_it.py::test_victim")

    assert (code, answer["others"]) == (1, ["test_it.py::test_polluter"])
    assert (answer["resources"][0]["resource"], answer["resources"][0]["what"]) == (resource, what)


ORDERED: Final = """
    import app

    def test_between():
        pass

    def test_provider():
        app.MODE = "ready"

    def test_needy():
        assert app.MODE == "ready"

    def test_sound():
        pass
"""


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), app=APP, test_it=ORDERED)


def test_a_test_that_needs_another_one_is_told_so(ordered: Path) -> None:
    code, answer = found(ordered, "bisect", "test_it.py::test_needy")

    assert (code, answer["kind"]) == (1, "needs others")
    assert answer["others"] == ["test_it.py::test_provider"]


def test_a_test_that_nobody_spoils_is_unknown_after_the_tries(ordered: Path) -> None:
    code, answer = found(ordered, "bisect", "--tries", "2", "test_it.py::test_sound")

    assert (code, answer["kind"], answer["runs"]) == (3, "not reproduced", 3)


def test_a_test_that_is_not_there_is_refused_with_its_neighbour(ordered: Path) -> None:
    ended = ran(ordered, "bisect", "test_needy")

    assert (ended.code, ended.complaint.count("\n")) == (2, 1)
    assert "did you mean test_it.py::test_needy?" in ended.complaint
