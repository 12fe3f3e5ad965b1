"""A trial as a drawing: who has a lane, how long each bar lasts, what is said of it, and what is left out."""

import pytest

from poolproof.report.curves import around
from poolproof.report.timeline import HOW, NEVER, Job, Timeline, telling, timeline
from tests.unit.checkers.histories import CONTROLLER, MS, ONE, TWO, History, warm
from tests.unit.report.runs import kept, lost, struck, trial, unharmed

pytestmark = pytest.mark.unit


def drawn(history: History) -> Timeline:
    return timeline(trial(history))


def job(found: Timeline, number: int) -> Job:
    return next(job for job in found.jobs if job.number == number)


def lane(found: Timeline, index: int) -> str:
    return found.lanes[index].name


def test_everybody_has_a_lane() -> None:
    found = drawn(lost())

    assert [one.kind for one in found.lanes[:3]] == ["fault", "tree", "owner"]
    assert {one.name for one in found.lanes if one.kind == "worker"} == {
        f"worker {ONE}",
        f"worker {TWO}",
    }


def test_a_job_that_is_never_told_has_no_end_and_a_caller_of_its_own() -> None:
    found = drawn(lost())

    assert job(found, 3).outcome == "never"
    assert job(found, 3).took == NEVER
    assert [j.number for j in found.jobs if j.lane == job(found, 3).lane] == [3]


def test_a_job_that_dies_with_its_worker_says_so() -> None:
    (attempt,) = job(drawn(lost()), 3).attempts

    assert HOW[attempt.how] == "died"
    assert lane(drawn(lost()), attempt.lane) == f"worker {ONE}"


def test_a_job_that_runs_again_has_two_attempts_in_two_lanes() -> None:
    found = drawn(kept())
    first, second = job(found, 3).attempts

    assert (HOW[first.how], HOW[second.how]) == ("died", "finished")
    assert lane(found, first.lane) != lane(found, second.lane)
    assert job(found, 3).outcome == "ok"


@pytest.mark.parametrize(
    ("history", "outcome"),
    [
        (warm().submit(3).ran(3).ok(3), "ok"),
        (warm().submit(3).ran(3).ok(3, match=False), "wrong"),
        (warm().submit(3).fail(3), "error"),
        (warm().refuse(3), "refused"),
        (warm().submit(3).fail(3, error="CancelledError"), "cancelled"),
        (warm().submit(3, body="fail").begun(3).raised(3).fail(3, error="ValueError"), "ok"),
        (warm().submit(3), "never"),
    ],
)
def test_how_a_job_ends_for_its_caller(history: History, outcome: str) -> None:
    assert job(drawn(history), 3).outcome == outcome


def test_a_fault_is_a_band_from_its_injection_to_its_heal() -> None:
    found = drawn(lost())
    (band,) = found.bands
    at = {mark.what: mark.at for mark in found.marks}

    assert (band.name, band.start, band.end) == ("kill-busy", at["inject"], at["heal"])
    assert f"process {ONE}" in band.text


def test_a_fault_that_is_never_healed_lasts_to_the_end() -> None:
    found = drawn(warm("kill-busy").hit(ONE).done(3))

    assert found.bands[0].end == found.end


def test_a_crash_point_is_a_band_until_its_receipt() -> None:
    (band,) = drawn(struck()).bands

    assert band.name == "kill at pool.py:2"
    assert band.start < band.end


def test_receipts_and_confirmations_are_marked() -> None:
    said = {mark.text for mark in drawn(lost()).marks}

    assert "receipt: gone from /proc" in said
    assert "confirmed after 1.3 s: jobs 3 wait" in said


def test_a_call_that_never_returns_is_an_open_bar() -> None:
    hung = warm().write("invoke", op="stop").done(3)
    (bar,) = (bar for bar in drawn(hung).bars if bar.what == "never")

    assert (bar.end, bar.text) == (NEVER, "stop never returned")


def test_the_state_around_a_moment_is_what_the_history_says() -> None:
    history = warm().submit(3, 4).begun(3)
    found = drawn(history)
    at = job(found, 4).submitted

    assert around(found.curves["waiting"], at) == (1, 2)
    assert around(found.curves["queued"], found.end) == (2, 1)
    assert around(found.curves["running"], found.end) == (0, 1)


def test_workers_are_up_from_their_first_word_to_their_death() -> None:
    history = births(warm(), ONE, TWO)
    found = drawn(history.death(ONE).done(3, pid=TWO))
    states = [state for _, state, _ in found.strip]

    assert states == ["degraded", "up", "degraded"]
    assert found.strip[-1][2] == "1 up, 2 wanted"
    assert around(found.curves["workers"], found.end)[1] == 1


def births(history: History, *pids: int) -> History:
    for pid in pids:
        history.write("birth", CONTROLLER, data={"child": pid, "born": pid * 10})
    return history


def test_who_takes_the_place_of_a_dead_worker_is_one_and_a_helper_is_none() -> None:
    history = births(warm("kill-busy"), ONE, TWO, 300).inject(ONE).death(ONE)
    found = drawn(births(history, 301, 302).receipt().done(3, pid=TWO))
    names = {one.name for one in found.lanes if one.kind == "worker"}

    assert names == {"worker 201", "worker 202", "process 300", "worker 301", "process 302"}
    assert [words for _, _, words in found.strip][-1] == "2 up, 2 wanted"


def test_workers_that_end_in_a_shutdown_are_not_down() -> None:
    history = births(warm(), ONE, TWO)
    found = drawn(history.stop().death(ONE).death(TWO))

    assert [state for _, state, _ in found.strip][-2:] == ["stopping", "stopping"]


def test_supervisors_have_lanes_and_a_strip_of_their_own() -> None:
    history = warm()
    for name in ("up", "child_terminated", "progress", "escalation"):
        data = {
            "event": name,
            "supervisor": ["app", "pool"],
            "offender": {"id": "w1"},
            "reason": "killed",
        }
        history.write("tree", data=data)
    found = drawn(history)

    assert [one.name for one in found.lanes if one.kind == "supervisor"] == ["app / pool"]
    assert [state for _, state, _ in found.strip] == ["up", "restarting", "up", "escalated"]
    assert "escalation w1, killed" in {mark.text for mark in found.marks}


def test_of_too_many_jobs_the_odd_ones_stay_and_it_is_said() -> None:
    history = warm().done(*range(3, 40)).submit(40).done(*range(41, 60))
    found = timeline(trial(history), most_jobs=10)

    assert len(found.jobs) == 10
    assert 40 in {one.number for one in found.jobs}
    assert found.total == 59
    assert found.note.startswith("truncated: 10 of 59 jobs are drawn")


def test_jobs_stay_in_the_order_of_their_submission() -> None:
    jobs = trial(warm().submit(5, 3).done(4)).submitted

    assert [one.number for one in telling(jobs, 10)] == [1, 2, 5, 3, 4]


def test_an_empty_history_is_an_empty_drawing() -> None:
    found = drawn(History())

    assert (found.jobs, found.bars, found.total, found.end) == ((), (), 0, 1)


def test_jobs_in_the_owner_itself_lie_beside_each_other() -> None:
    history = warm().submit(3, 4)
    owner = history.events[0].pid
    found = drawn(history.begun(3, owner).begun(4, owner).finished(3, owner).finished(4, owner))
    lanes = {lane(found, job(found, number).attempts[0].lane) for number in (3, 4)}

    assert lanes == {"in the owner, 1", "in the owner, 2"}


def test_latencies_are_what_callers_waited() -> None:
    found = drawn(unharmed())

    assert found.quantiles["count"] == 6
    assert found.quantiles["p50"] == 4 * MS // 1000


def test_a_job_nobody_submitted_is_not_drawn() -> None:
    stray = warm().write("started", ONE, job=77, data={"born": ONE * 10})

    assert 77 not in {one.number for one in drawn(stray).jobs}
