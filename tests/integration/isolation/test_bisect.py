"""`poolproof bisect` on suites with a planted polluter: it is found in few runs, and so is what it polluted."""

import os
from pathlib import Path
from typing import Final

import pytest

from poolproof.isolation.bisect import runs_at_most
from tests.integration.isolation.wrong_suites import found, ran, suite

# Each of a dozen starts of pytest takes its time on a busy machine.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MODULES: Final = int(os.environ.get("POOLPROOF_MODULES", "4"))  # scripts/campaign_bisect.sh: 20
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


def test_a_polluter_among_many_tests_is_found_in_few_runs_with_its_resource(
    tmp_path: Path,
) -> None:
    last, middle = MODULES - 1, MODULES * 2 // 5
    polluter = f"test_{middle:02}.py::test_{middle:02}_03"
    victim = f"test_{last:02}.py::test_{last:02}_24"
    folder = planted(tmp_path, modules=MODULES, polluter=polluter, victim=victim)

    code, answer = found(folder, "bisect", victim)

    candidates = MODULES * TESTS - 1
    assert (code, answer["kind"], answer["candidates"]) == (1, "polluted", candidates)
    assert (answer["others"], answer["resources"][0]) == ([polluter], MODE_IS_SLOW)
    assert answer["runs"] <= runs_at_most(candidates)


@pytest.mark.slow
def test_only_what_the_same_xdist_worker_ran_before_is_suspected(tmp_path: Path) -> None:
    polluter, victim = "test_01.py::test_01_03", "test_01.py::test_01_08"
    folder = planted(tmp_path, modules=2, polluter=polluter, victim=victim)

    code, answer = found(folder, "bisect", "--workers", "2", victim, "--", "--dist", "loadfile")

    assert (code, answer["others"], answer["resources"][0]) == (1, [polluter], MODE_IS_SLOW)
    assert answer["candidates"] == 8


LEAKY: Final = """
    import os

    def test_innocent():
        pass

    def test_polluter():
        os.environ["MODE"] = "slow"

    def test_victim():
        assert "MODE" not in os.environ
"""


def test_where_the_guard_saw_it_made_is_told(tmp_path: Path) -> None:
    folder = suite(tmp_path, test_it=LEAKY)

    code, answer = found(folder, "bisect", "test_it.py::test_victim")

    assert (code, answer["others"]) == (1, ["test_it.py::test_polluter"])
    (resource,) = answer["resources"]
    assert (resource["resource"], resource["what"]) == ("environment", "MODE")
    assert resource["where"].startswith("test_it.py:8")


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
    code, answer = found(ordered, "bisect", "--tries", "1", "test_it.py::test_sound")

    assert (code, answer["kind"], answer["runs"]) == (3, "not reproduced", 2)


def test_a_test_that_is_not_there_is_refused_with_its_neighbour(ordered: Path) -> None:
    ended = ran(ordered, "bisect", "test_needy")

    assert (ended.code, ended.complaint.count("\n")) == (2, 1)
    assert "did you mean test_it.py::test_needy?" in ended.complaint
