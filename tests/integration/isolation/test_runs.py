"""Suites that are recorded and ordered, in processes of their own: what is read back is what became of each test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from poolproof.isolation.runs import records
from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.records import Case, Record
from tests.integration.isolation.wrong_suites import suite

pytestmark = pytest.mark.integration


def played(folder: Path, source: str, order: Order, *options: str) -> Record:
    """Run a suite of one module in this order, and return what was recorded."""
    suite(folder, test_it=source)
    order.save(folder / "order.json")
    command = [sys.executable, "-m", "pytest", "--poolproof=off", *options]
    recorded = ["--poolproof-record=run.jsonl", "--poolproof-order=order.json"]
    subprocess.run([*command, *recorded], cwd=folder, check=False, capture_output=True)
    return records.read(folder / "run.jsonl")


OUTCOMES: Final = """
    import pytest, warnings

    @pytest.fixture
    def broken():
        raise OSError("no such server")

    @pytest.fixture
    def breaks_later():
        yield
        raise OSError("would not stop")

    @pytest.mark.unit
    def test_passes(): pass
    def test_fails(): assert 1 == 2, "one is not two"
    def test_set_up(broken): pass
    def test_torn_down(breaks_later): pass
    def test_fails_and_is_torn_down(breaks_later): assert False, "first"
    def test_skips(): pytest.skip("not here")
    @pytest.mark.xfail
    def test_xfails(): assert False
    @pytest.mark.xfail
    def test_xpasses(): pass
    def test_warns(): warnings.warn("unclosed thing", ResourceWarning)
    def test_warns_of_nothing(): warnings.warn("deprecated", UserWarning)
    @pytest.mark.parametrize("at", ["a@b"])
    @pytest.mark.resource("database")
    @pytest.mark.serial(group="g")
    def test_marked(at): pass
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return played(tmp_path_factory.mktemp("suite"), OUTCOMES, Order())


def named(record: Record) -> dict[str, Case]:
    return {name.rpartition("::test_")[2]: test for name, test in record.tests.items()}


def test_each_outcome_is_told_apart(record: Record) -> None:
    assert {name: test.outcome for name, test in named(record).items()} == {
        "passes": "passed",
        "fails": "failed",
        "set_up": "error",
        "torn_down": "error",
        "fails_and_is_torn_down": "failed",
        "skips": "skipped",
        "xfails": "xfailed",
        "xpasses": "xpassed",
        "warns": "passed",
        "warns_of_nothing": "passed",
        "marked[a@b]": "passed",
    }


def test_why_is_told_in_the_first_words_and_in_full(record: Record) -> None:
    tests = named(record)

    assert tests["fails"].message.startswith("AssertionError: one is not two")
    assert "test_fails" in tests["fails"].text
    assert tests["fails_and_is_torn_down"].message.startswith("AssertionError: first")
    assert tests["skips"].message == "Skipped: not here"
    assert tests["set_up"].message == "OSError: no such server"


def test_each_phase_has_its_time(record: Record) -> None:
    assert set(named(record)["passes"].seconds) == {"setup", "call", "teardown"}
    assert set(named(record)["set_up"].seconds) == {"setup", "teardown"}


def test_markers_and_resources_are_those_of_the_test(record: Record) -> None:
    tests = named(record)

    assert tests["passes"].markers == ("unit",)
    assert tests["marked[a@b]"].resources == ("database", "serial:g")


def test_only_what_tells_of_something_unclosed_is_noted(record: Record) -> None:
    assert [(w.test.rpartition("_")[2], w.category) for w in record.warnings] == [
        ("warns", "ResourceWarning")
    ]


def test_the_run_itself_is_told(record: Record) -> None:
    assert (record.exit, record.workers, len(record.collected), record.lost) == (1, 0, 11, ())


def test_a_suite_that_makes_warnings_errors_still_does(tmp_path: Path) -> None:
    source = "import warnings\ndef test_it(): warnings.warn('unclosed', ResourceWarning)"

    record = played(tmp_path, source, Order(), "-W", "error")

    assert [test.outcome for test in record.tests.values()] == ["failed"]


APART: Final = """
    import os, pytest
    FIRST = []

    @pytest.fixture(scope="session")
    def shared():
        yield os.getpid()

    def test_a(shared): FIRST.append("a"); assert FIRST == ["a"]
    def test_b(shared): FIRST.append("b"); assert FIRST == ["b"]
    class TestC:
        def test_c(self): FIRST.append("c"); assert FIRST[0] == "c"
        def test_d(self): FIRST.append("d"); assert FIRST == ["c", "d"]
    def test_e(): os._exit(7)
    def test_f(): pass
"""


def outcomes(record: Record) -> dict[str, str]:
    return {name.rpartition("_")[2]: test.outcome for name, test in record.tests.items()}


def test_chosen_tests_run_in_their_order(tmp_path: Path) -> None:
    names = ("test_it.py::test_f", "test_it.py::TestC::test_c", "test_it.py::test_b")

    record = played(tmp_path, APART, Order(tests=names))

    assert tuple(record.tests) == names


def test_a_chosen_test_that_is_not_there_is_refused(tmp_path: Path) -> None:
    record = played(tmp_path, APART, Order(tests=("test_it.py::test_z",)))

    assert (record.exit, record.tests) == (4, {})


def test_each_test_apart_finds_nothing_of_another_and_a_crash_is_its_own(
    tmp_path: Path,
) -> None:
    record = played(tmp_path, APART, Order(apart="test"))

    assert outcomes(record) == {
        "a": "passed",
        "b": "passed",
        "c": "passed",
        "d": "failed",  # it needs the one before it
        "e": "crashed",
        "f": "passed",
    }
    assert record.exit == 1


def test_a_batch_shares_a_process_and_batches_do_not(tmp_path: Path) -> None:
    record = played(tmp_path, APART, Order(apart="batch"))

    assert outcomes(record) == {
        "a": "passed",
        "b": "failed",  # it ran after the other one of its batch
        "c": "passed",
        "d": "passed",
        "e": "crashed",
    }
    assert record.lost == ("test_it.py::test_f",)


def test_the_state_that_the_watched_test_finds_is_noted(tmp_path: Path) -> None:
    state = tmp_path / "state.json"

    played(tmp_path, APART, Order(watch="test_it.py::test_b", state=str(state)))

    assert json.loads(state.read_bytes())["global test_it.FIRST"] == "list (1) 'a'"
