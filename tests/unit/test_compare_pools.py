"""The table of pools side by side: its ratios are those of one round, and a broken promise is told before all else."""

import pytest

from scripts.compare_pools import IN_FLIGHT, KILLS, OURS, Row, kept, page, ratio, speeds

pytestmark = pytest.mark.unit

AT = IN_FLIGHT[-1]


def measured(*rates: float, version: str = "") -> Row:
    return Row(rates={AT: list(rates)}, version=version)


def test_a_ratio_is_that_of_one_round_and_the_best_other_is_the_best_of_each() -> None:
    """The ablation: of the medians, ours would be twice as fast as the best other."""
    rows = {OURS: measured(10, 40, 20), "a": measured(10, 20, 5), "b": measured(5, 8, 40)}

    assert ratio(rows, rows["a"], AT) == 2.0
    assert [*speeds(rows)][-1].endswith("| 1.00 |  |")


def test_of_latencies_the_ratio_is_the_part_of_the_time_that_ours_takes() -> None:
    rows = {OURS: Row(p50s=[1e-4, 3e-4]), "a": Row(p50s=[2e-4, 2e-4]), "b": Row(p50s=[4e-4, 1e-4])}
    mine, a, b, best = ([*line.split(" | ")][-1] for line in [*speeds(rows)][2:])

    assert (mine, a, b) == ("200 us |", "200 us (1.00) |", "250 us (1.62) |")
    assert best == "1.75 |"  # the best other is the best of each round


def test_what_was_not_measured_is_told_with_its_reason_and_has_no_ratio() -> None:
    rows = {OURS: measured(10), "a": Row(missing="not installed"), "b": measured(5, version="1.2")}
    lines = [*speeds(rows)]

    assert lines[3].count("not installed") == len(IN_FLIGHT)
    assert lines[4] == "| b 1.2 |  |  |  | 5 (2.00) |  |"
    assert ratio(rows, rows["a"], AT) is None


def test_a_broken_promise_is_told_first_and_nothing_tried_is_no_pass() -> None:
    served = {"fault": "kill-idle", "invariant": "no-recovery", "reason": "4 of 4 were served"}
    lost = {"fault": "kill-idle", "invariant": "unresolved-job", "reason": "waits for ever"}
    valid, invalid = ({"verdict": verdict} for verdict in ("valid", "invalid"))
    told = {"fault": "kill-idle"}

    assert kept("kill-idle", {"checks": [served | valid], "faults": [told | valid]}) == (
        "4 of 4 were served"
    )
    both = {"checks": [served | valid, lost | invalid], "faults": [told | invalid]}
    assert kept("kill-idle", both) == "BREAKS unresolved-job: waits for ever; 4 of 4 were served"
    unknown = {"checks": [], "faults": [told | {"verdict": "unknown"}]}
    assert kept("kill-idle", unknown) == "unknown"
    assert kept("kill-all", both) == "not tried"


def test_the_page_has_what_each_keeps_only_where_it_was_checked() -> None:
    row = measured(5)
    plain = "\n".join(page({OURS: measured(10), "a": row}, rounds=3, before=0.1))
    row.keeps = dict.fromkeys(KILLS, "served")
    checked = "\n".join(page({OURS: measured(10), "a": row}, rounds=3, before=0.1))

    assert "the median of 3 rounds" in plain
    assert "When its workers are killed" not in plain
    assert checked.endswith("| a | served | served | served |")
