"""The journal: one line an event, from any process, and never an exception."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poolproof import history
from poolproof.agent import journal

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


@pytest.fixture
def written(path: Path) -> Any:
    """A journal at `path`, closed in the end."""
    opened = journal.Journal()
    opened.open_at(str(path))
    yield opened
    opened.open_at("/dev/null")


def kinds(path: Path) -> list[str]:
    return [event.kind for event in history.read(path)]


def test_a_line_is_an_event_of_this_process_and_time(written: journal.Journal, path: Path) -> None:
    written.write("ok", op="job", job=3, data={"match": True})

    (event,) = history.read(path)
    assert (event.kind, event.op, event.job, event.data) == ("ok", "job", 3, {"match": True})
    assert event.pid == os.getpid()
    assert event.t > 0


@pytest.mark.parametrize(
    "value",
    ["\udc80", "\n", object(), {1, 2}, b"bytes", {"nested": {3: None}}, "snow ☃ 🐍"],
    ids=["surrogate", "newline", "object", "set", "bytes", "dictionary", "snowman"],
)
def test_whatever_is_handed_over_stays_readable(
    written: journal.Journal, path: Path, value: object
) -> None:
    written.write("note", data={"value": value})

    assert kinds(path) == ["note"]


@pytest.mark.parametrize("value", [float("nan"), {(1, 2): 3}], ids=repr)
def test_what_json_has_no_words_for_is_counted_and_confessed(
    written: journal.Journal, path: Path, value: object
) -> None:
    written.write("note", data={"value": value})
    lost = written.lost
    written.write("started", job=1)

    note, started = history.read(path)
    assert lost == 1
    assert note.message is not None
    assert note.message.startswith("1 line(s) of the journal could not be written: ")
    assert started.kind == "started"


def test_a_recursive_value_does_not_reach_the_target(written: journal.Journal) -> None:
    knot: list[object] = []
    knot.append(knot)

    written.write("note", data={"knot": knot})

    assert written.error.startswith("RecursionError")


def test_a_journal_that_cannot_be_opened_is_silent_and_remembers(tmp_path: Path) -> None:
    lost = journal.Journal()
    lost.open_at(str(tmp_path / "gone" / "history.jsonl"))

    lost.write("note")
    lost.write("note")

    assert lost.lost == 2
    assert lost.error.startswith("FileNotFoundError")
    assert lost.descriptor() == -1


def test_without_a_trial_nothing_is_written_or_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POOLPROOF_TRIAL", raising=False)
    lost = journal.Journal()

    lost.write("note")

    assert lost.error == "KeyError: 'POOLPROOF_TRIAL'"


def test_the_trial_is_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOLPROOF_TRIAL", str(tmp_path))
    opened = journal.Journal()

    opened.write("note")
    opened.open_at("/dev/null")

    assert kinds(tmp_path / "history.jsonl") == ["note"]


def test_a_descriptor_that_the_target_closed_is_opened_again(
    written: journal.Journal, path: Path
) -> None:
    written.write("started")
    os.close(written.descriptor())
    written.write("finished")

    assert kinds(path) == ["started", "finished"]


def test_the_descriptor_is_out_of_the_way_and_ends_with_exec(written: journal.Journal) -> None:
    written.write("note")

    assert written.descriptor() >= 900
    assert not os.get_inheritable(written.descriptor())


def test_where_no_high_descriptor_is_allowed_a_low_one_will_do(
    written: journal.Journal, path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        written.write("note")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 0 <= written.descriptor() < 256
    assert kinds(path) == ["note"]


def test_opening_the_same_path_again_keeps_the_descriptor(
    written: journal.Journal, path: Path
) -> None:
    written.write("note")
    before = written.descriptor()
    written.open_at(str(path))

    assert written.descriptor() == before


def test_opening_another_path_closes_the_first(written: journal.Journal, tmp_path: Path) -> None:
    written.write("note")
    before = written.descriptor()
    written.open_at(str(tmp_path / "other.jsonl"))

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(
    written: journal.Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, line: write(fd, line[:10]))
    written.write("started")
    monkeypatch.setattr(os, "write", write)
    written.write("finished")

    assert kinds(path) == ["note", "finished"]
    assert "OSError" in path.read_text("utf-8")


def test_an_error_of_the_disk_is_not_taken_for_a_closed_descriptor(
    written: journal.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _line: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space")

    written.write("note")
    monkeypatch.setattr(os, "write", full)
    written.write("note")

    assert written.error == f"OSError: [Errno {errno.ENOSPC}] no space"


def test_lines_of_many_processes_do_not_mix(written: journal.Journal, path: Path) -> None:
    written.write("note")
    program = (
        "import sys; from poolproof.agent import journal; journal.open_at(sys.argv[1])\n"
        "for number in range(500): journal.write('note', job=number, message='x' * 200)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]

    lines = path.read_bytes().splitlines()
    assert len(lines) == 1501
    assert all(json.loads(line)["kind"] == "note" for line in lines)


def test_born_is_the_start_time_of_this_process() -> None:
    ticks = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19])

    assert journal.born() == journal.born(os.getpid()) == ticks


def test_born_is_right_in_a_forked_child() -> None:
    program = (
        "import os; from poolproof.agent import journal; journal._born[os.getpid()] = 0\n"
        "pid = os.fork()\n"
        "if not pid: os._exit(journal.born() != journal._start_time(os.getpid()))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_born_of_another_process_whose_name_is_awkward(tmp_path: Path) -> None:
    awkward = tmp_path / "a ) 1 (b"
    awkward.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(awkward), "60"])
    try:
        assert (journal.born(process.pid) or 0) >= (journal.born() or 0) > 0
    finally:
        process.kill()
        process.wait()


def test_born_of_a_process_that_is_gone_is_none() -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert journal.born(process.pid) is None
