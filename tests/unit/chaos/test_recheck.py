"""A saved run is judged by its histories alone, and what was saved of an earlier judgement changes nothing."""

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from poolproof.chaos.accept import Acceptance
from poolproof.chaos.recheck import recheck
from poolproof.chaos.result import Entry, Result
from poolproof.chaos.saved import Run, open_run
from poolproof.errors import UsageError
from tests.unit.report.runs import FAULT, keep, kept, lost, save, trial, unharmed

pytestmark = pytest.mark.unit


def broken(result: Result) -> dict[tuple[str, str], str]:
    return {
        (entry.fault, entry.invariant): entry.verdict for entry in result.checks if entry.effect
    }


def test_what_the_histories_show_is_found_again(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())

    assert run.result.verdict == "invalid"
    assert broken(run.result)[FAULT, "unresolved-job"] == "invalid"
    assert run.result.crash_points.lost == 1
    assert recheck(run) == run.result


def test_what_no_history_shows_is_not_found(tmp_path: Path) -> None:
    result = save(tmp_path, kept()).result
    verdicts = {e.invariant: e.verdict for e in result.checks if e.fault == FAULT}

    assert verdicts["unresolved-job"] == verdicts["no-recovery"] == "valid"
    assert (FAULT, "unresolved-job") not in broken(result)


def test_a_saved_verdict_is_not_believed(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())
    forged = msgspec.structs.replace(run.result, verdict="valid", checks=())
    keep(tmp_path, forged)

    assert recheck(open_run(tmp_path)).verdict == "invalid"


def test_one_sighting_without_a_repeat_is_unknown(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), kept())

    assert broken(run.result)[FAULT, "unresolved-job"] == "unknown"


def test_the_repeats_that_were_played_count(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), kept(), lost())
    once = _without_last_history(run.result)
    row = Entry(
        invariant="unresolved-job",
        verdict="unknown",
        fault=FAULT,
        effect="the caller waits for ever",
        original="trials/0003",
        repeats=("trials/0005",),
    )
    keep(tmp_path, msgspec.structs.replace(once, checks=(row,)))
    found = recheck(open_run(tmp_path))

    (entry,) = (e for e in found.checks if e.fault == FAULT and e.effect)
    assert (entry.verdict, entry.hits, entry.trials) == ("invalid", 2, 3)


def _without_last_history(result: Result) -> Result:
    rows = tuple(
        msgspec.structs.replace(row, histories=row.histories[:2]) if row.fault == FAULT else row
        for row in result.faults
    )
    return msgspec.structs.replace(result, faults=rows)


def test_what_was_accepted_stays_so(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())
    known = Acceptance(
        invariant="unresolved-job", reason="known", expires=dt.date(2999, 1, 1), fault=FAULT
    )
    keep(tmp_path, recheck(run, (known,)))
    found = recheck(open_run(tmp_path))

    assert [entry.accepted for entry in found.checks if entry.fault == FAULT and entry.effect] == [
        "known"
    ]
    assert found.verdict == "unknown"  # the crash point was seen once


def test_a_declared_weakness_of_the_run_is_by_contract(tmp_path: Path) -> None:
    quote = {"contract": {"unresolved-job": "a lost worker loses its job"}}
    run = save(tmp_path, lost(), lost(), promises=quote)

    assert broken(run.result)[FAULT, "unresolved-job"] == "by contract"


def test_a_violation_that_is_new_can_be_replayed_from_its_trial(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())

    (entry,) = (e for e in run.result.checks if e.fault == FAULT and e.effect)
    assert entry.replay == f"poolproof replay {tmp_path}/trials/0003/plan.json"
    assert Path(entry.replay.split()[-1]).is_file()


def test_a_result_without_histories_is_refused(tmp_path: Path) -> None:
    run = save(tmp_path, lost())
    rows = tuple(msgspec.structs.replace(row, histories=()) for row in run.result.faults)
    old = Run(tmp_path, msgspec.structs.replace(run.result, faults=rows))

    with pytest.raises(UsageError, match="expected the histories of the run"):
        recheck(old)


def test_a_lost_history_is_refused(tmp_path: Path) -> None:
    run = save(tmp_path, lost())
    (tmp_path / "trials" / "0003" / "history.jsonl").unlink()

    with pytest.raises(UsageError, match="check the target anew"):
        recheck(open_run(run.path))


def test_a_trial_reads_as_it_was_written(tmp_path: Path) -> None:
    run = save(tmp_path, lost())

    assert run.trial("trials/0003").events == trial(lost()).events
    assert run.reference is not None
    assert run.reference.events == trial(unharmed()).events


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "expected a run of `poolproof check`"),
        (b"{", "expected the result of a check"),
        (b'{"schema": 99}', "expected the result of a check"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "result.json").write_bytes(content)

    with pytest.raises(UsageError, match=complaint):
        open_run(tmp_path)


def test_a_result_of_another_version_is_refused(tmp_path: Path) -> None:
    run = save(tmp_path, kept())
    keep(tmp_path, msgspec.structs.replace(run.result, schema=99))

    with pytest.raises(UsageError, match="expected result schema 1, got 99"):
        open_run(tmp_path)


def test_the_newest_run_is_taken_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"expected a run in \.poolproof/runs, got none"):
        open_run(None)
    save(tmp_path / ".poolproof" / "runs" / "r1", kept())

    assert open_run(None).path.name == "r1"
    assert open_run(Path("r1")).path.name == "r1"
