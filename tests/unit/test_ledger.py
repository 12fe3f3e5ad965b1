"""The compact history: what was noted together is written together, and read as single events."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from poolproof import history
from poolproof.ledger import BIRTH, FAIL, INVOKES, JOB, OKS, WORKER, Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poolproof.history import Packed

pytestmark = pytest.mark.unit


def noted(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.note((5, INVOKES, JOB, 1, 3))
    ledger.note((20, OKS, JOB, 0, [1, 3], [14, 12]))
    ledger.note((30, FAIL, JOB, 2, {"worker": 1, "category": "python"}, "RemoteError", "no"))
    ledger.flush()
    return ledger


def test_what_happened_to_many_at_once_is_read_as_single_events(tmp_path: Path) -> None:
    noted(tmp_path / "history").close()
    events = list(history.read(tmp_path / "history"))

    assert [(event.t, event.kind, event.job) for event in events] == [
        (5, "invoke", 2),
        (6, "invoke", 1),
        (8, "invoke", 3),
        (20, "ok", 1),
        (20, "ok", 3),
        (30, "fail", 2),
    ]
    assert events[3].data == {"worker": 0}
    assert (events[5].error, events[5].message) == ("RemoteError", "no")
    assert events[5].data["category"] == "python"


def test_a_history_cut_off_by_a_crash_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "history"
    ledger = noted(file)
    ledger.note((40, BIRTH, WORKER, 0, {"worker": 0, "epoch": 2, "pid": None}))
    ledger.close()
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])

        assert len(list(history.read(file))) in {0, 6}


def test_a_reader_is_told_each_batch_once_and_nothing_after_it_left() -> None:
    told: list[Sequence[Packed]] = []
    ledger = Ledger()
    ledger.note((1, BIRTH, WORKER, 0))
    unfollow = ledger.follow(told.append)
    ledger.note((2, BIRTH, WORKER, 1))
    ledger.flush()
    unfollow()
    ledger.note((3, BIRTH, WORKER, 2))
    ledger.flush()

    assert [list(batch) for batch in told] == [[(2, BIRTH, WORKER, 1)]]


def test_a_ledger_that_was_never_written_to_leaves_no_file(tmp_path: Path) -> None:
    Ledger(tmp_path / "history").close()

    assert not (tmp_path / "history").exists()
