"""What the recorder writes of reports, and what is read back from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from poolproof.errors import UsageError
from poolproof.isolation.runs import records
from poolproof.isolation.runs.recorder import Recorder
from poolproof.isolation.runs.records import Case, Record

pytestmark = pytest.mark.unit


class Config:
    """As much of pytest's configuration as the recorder asks for."""

    rootpath = Path()

    class invocation_params:  # noqa: N801 - as pytest calls it
        args = ()

    def __init__(self, dist: str = "no") -> None:
        self.dist = dist

    def getini(self, name: str) -> list[str]:
        assert name == "poolproof_policy"
        return ["contextvar: warn", "thread: fail"]

    def getoption(self, name: str, default: object = None) -> object:
        return self.dist if name == "dist" else default


def recorder(path: Path, dist: str = "no") -> Recorder:
    return Recorder(Config(dist), str(path))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dist", "nodeid", "name"),
    [
        ("loadgroup", "t.py::test@group", "t.py::test"),
        ("loadgroup", "t.py::test[a@b]", "t.py::test[a@b]"),
        ("loadgroup", "t.py::test[a@b]@group", "t.py::test[a@b]"),
        ("load", "t.py::test@group", "t.py::test@group"),
    ],
)
def test_the_group_that_xdist_appends_is_no_part_of_the_name(
    dist: str, nodeid: str, name: str, tmp_path: Path
) -> None:
    assert recorder(tmp_path / "run.jsonl", dist)._name(nodeid) == name


def report(when: Any, outcome: Any = "passed", **extra: Any) -> pytest.TestReport:
    return pytest.TestReport(
        "t.py::test_it", ("t.py", 1, "test_it"), {}, outcome, None, when, **extra
    )


def reported(tmp_path: Path, *reports: pytest.TestReport) -> Case:
    path = tmp_path / "run.jsonl"
    written = recorder(path)
    for each in reports:
        written.pytest_runtest_logreport(each)
    written.pytest_sessionfinish(0)
    return records.read(path).tests["t.py::test_it"]


def test_what_guard_sandbox_and_locks_tell_is_in_the_line(tmp_path: Path) -> None:
    leak = {"resource": "thread", "what": "poller", "action": "fail"}
    sandbox = {"layer": "mock", "released": 3, "verified": 2, "found": []}
    told = [
        ("poolproof_leaks", [leak]),
        ("poolproof_leaks", [{"resource": "child"}]),
        ("poolproof_waited", 0.5),
        ("poolproof_sandbox", sandbox),
        ("foreign", object),
    ]

    found = reported(
        tmp_path, report("setup"), report("call"), report("teardown", user_properties=told)
    )

    assert [leak.resource for leak in found.leaks or ()] == ["thread", "child"]
    assert (found.waited, found.released, found.verified) == (0.5, 3, 2)


@pytest.mark.parametrize(
    ("leak", "borne"),
    [
        ({"resource": "thread", "action": "warn"}, False),
        ({"resource": "child", "action": "warn"}, False),
        ({"resource": "thread", "action": "pinned"}, True),
        ({"resource": "contextvar", "action": "warn"}, True),
    ],
)
def test_what_is_pinned_or_only_warned_of_is_borne_though_a_report_warns_of_all(
    leak: dict[str, str],
    borne: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    told = [("poolproof_leaks", [leak])]

    found = reported(tmp_path, report("teardown", user_properties=told))

    assert [each.borne for each in found.leaks or ()] == [borne]


def test_no_word_of_the_guard_is_not_the_same_as_no_leak(tmp_path: Path) -> None:
    told = [("poolproof_leaks", list[object]())]

    assert reported(tmp_path, report("teardown")).leaks is None
    assert reported(tmp_path, report("teardown", user_properties=told)).leaks == ()


@pytest.mark.parametrize("torn_down", [True, False])
def test_a_rerun_begins_again_and_is_counted(torn_down: bool, tmp_path: Path) -> None:  # noqa: FBT001
    found = reported(
        tmp_path,
        *(report("setup"), report("call", "rerun"), *[report("teardown")] * torn_down),
        *(report("setup"), report("call"), report("teardown")),
    )

    assert (found.outcome, found.reruns) == ("passed", 1)


def test_a_worker_that_is_gone_is_a_crash_of_its_test(tmp_path: Path) -> None:
    assert reported(tmp_path, report("???", "failed")).outcome == "crashed"


def test_a_test_that_never_came_to_its_teardown_has_crashed(tmp_path: Path) -> None:
    assert reported(tmp_path, report("setup")).outcome == "crashed"


@pytest.fixture
def lines() -> list[dict[str, object]]:
    return [
        {"kind": "session", "workers": 0},
        {"kind": "collected", "tests": ["a", "b", "c"]},
        {"kind": "start", "test": "a", "at": 1.0},
        {"kind": "test", "test": "a", "outcome": "passed"},
        {"kind": "start", "test": "b", "at": 2.0},
    ]


def read(tmp_path: Path, lines: list[dict[str, object]], tail: bytes = b"") -> Record:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + tail)
    return records.read(path)


def test_a_run_that_was_killed_tells_in_which_test_and_what_was_lost(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    found = read(tmp_path, lines)

    assert (found.tests["b"].outcome, found.lost, found.exit) == ("crashed", ("c",), None)


def test_a_torn_line_and_one_of_a_later_version_are_left_out(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    later: dict[str, object] = {"kind": "weather", "rain": True}

    assert set(read(tmp_path, [*lines, later], b'{"kind":"te').tests) == {"a", "b"}


def test_a_failure_is_not_hidden_by_a_later_line(
    lines: list[dict[str, object]], tmp_path: Path
) -> None:
    bad: dict[str, object] = {"kind": "test", "test": "c", "outcome": "crashed"}
    good: dict[str, object] = {"kind": "test", "test": "c", "outcome": "passed"}

    assert read(tmp_path, [*lines, bad, good]).tests["c"].outcome == "crashed"


@pytest.mark.parametrize("content", [b"", b"garbage", b"[1]", b'{"kind":"test","test":"a"}'])
def test_what_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(content)

    with pytest.raises(
        UsageError, match=r"^expected a file that --poolproof-record has written, got "
    ):
        records.read(tmp_path / "run.jsonl")


def test_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^expected a file that --poolproof-record has written, got "
    ):
        records.read(tmp_path / "absent.jsonl")
