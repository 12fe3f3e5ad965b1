"""What is left behind by the shutdown, and who outlives the owner."""

from typing import Any

import pytest

from poolproof.checkers.resources import nothing_left
from tests.unit.checkers.histories import ONE, OWNER, ROOT, TWO, History, claims, the, verdict, warm

pytestmark = pytest.mark.unit

KILL = "kill-idle"


def left(
    *faults: str, lives: int = 2, before: dict[str, Any] | None = None, **after: Any
) -> History:
    """A trial that was stopped, and what its owner held before and held then."""
    history = History(*faults, lives=lives).start().sample("before", **(before or {}))
    history.done(1)
    if faults:
        history.hit(ONE)
    return history.stop().sample("after", **after)


def process(pid: int, cmdline: str = "python worker") -> dict[str, Any]:
    return {"pid": pid, "born": pid * 10, "cmdline": cmdline}


class TestLeak:
    @pytest.mark.parametrize(
        ("held", "effect", "named"),
        [
            ({"fds": {"pipe": 2}}, "leaked file descriptors (pipe)", "fds: 2 more"),
            ({"fds": {"/tmp/x": 1}}, "leaked file descriptors (file)", "/tmp/x"),
            ({"threads": ["Thread-3 (feed)"]}, "a leaked thread", "Thread-3 (feed)"),
            (
                {"processes": [process(ONE)]},
                "a leaked process",
                "201 (python worker, born at tick 2010)",
            ),
            ({"shm": ["psm_1"]}, "leaked shared memory", "psm_1"),
            ({"files": ["/tmp/a"]}, "a leaked temporary file", "/tmp/a"),
        ],
    )
    def test_what_is_there_afterwards_is_a_leak_and_named(
        self, held: dict[str, Any], effect: str, named: str
    ) -> None:
        found = the(left(**held), "leak")

        assert (found.verdict, found.effect) == ("invalid", effect)
        assert named in found.evidence[0]

    def test_two_kinds_of_leak_are_two_violations(self) -> None:
        effects = {claim.effect for claim in claims(left(fds={"pipe": 1}, shm=["x"]), "leak")}

        assert effects == {"leaked file descriptors (pipe)", "leaked shared memory"}

    def test_nothing_more_than_before_is_valid(self) -> None:
        held: dict[str, Any] = {"fds": {"pipe": 2}, "threads": ["MainThread"]}

        assert verdict(left(before=held, **held), "leak") == "valid"

    def test_less_than_before_is_valid(self) -> None:
        assert verdict(left(before={"fds": {"pipe": 2}}), "leak") == "valid"

    def test_what_the_reference_leaves_too_is_valid(self) -> None:
        usual = left(fds={"pipe": 1}, threads=["Thread-1 (feed)"], files=["/a/tmp-x"]).trial()
        trial = left(KILL, fds={"pipe": 1}, threads=["Thread-7 (feed)"], files=["/b/tmp-y"])

        assert the(trial.trial(reference=usual), "leak").verdict == "valid"
        assert "beyond what it always leaves" in the(trial.trial(reference=usual), "leak").reason

    def test_more_than_the_reference_leaves_is_invalid(self) -> None:
        usual = left(fds={"pipe": 1}).trial()
        found = the(left(KILL, fds={"pipe": 3}).trial(reference=usual), "leak")

        assert found.verdict == "invalid"
        assert found.evidence[0].endswith("1 of them are there without a fault as well")

    def test_after_a_fault_without_a_reference_it_is_unknown(self) -> None:
        found = the(left(KILL, fds={"pipe": 3}), "leak")

        assert found.verdict == "unknown"
        assert found.evidence[0].startswith("fds: 3 more")

    def test_after_a_fault_nothing_left_needs_no_reference(self) -> None:
        assert verdict(left(KILL), "leak") == "valid"

    def test_a_reference_with_other_lives_cannot_be_compared(self) -> None:
        usual = left(lives=3).trial()

        assert verdict(left(KILL, fds={"pipe": 1}).trial(reference=usual), "leak") == "unknown"

    def test_a_reference_that_was_not_sampled_cannot_be_compared(self) -> None:
        usual = warm(lives=2).trial()

        assert verdict(left(KILL, fds={"pipe": 1}).trial(reference=usual), "leak") == "unknown"

    def test_what_the_first_life_leaves_may_be_kept_for_the_next(self) -> None:
        assert verdict(left(lives=1, fds={"pipe": 1}), "leak") == "unknown"

    def test_the_helpers_of_the_standard_library_are_no_leak(self) -> None:
        tracker = process(7, "python -c from multiprocessing.resource_tracker import main")

        assert verdict(left(processes=[tracker]), "leak") == "valid"

    @pytest.mark.parametrize("label", ["before", "after"])
    def test_without_a_sample_it_is_unknown(self, label: str) -> None:
        assert verdict(History().start().sample(label).done(1).stop(), "leak") == "unknown"

    def test_it_does_not_apply_before_the_shutdown_is_over(self) -> None:
        assert verdict(warm().write("invoke", op="stop"), "leak") == "not applicable"

    def test_it_does_not_apply_if_the_owner_was_killed(self) -> None:
        assert verdict(warm("owner-killed").hit(OWNER), "leak") == "not applicable"

    def test_the_last_sample_counts(self) -> None:
        assert verdict(left(fds={"pipe": 1}).sample("after"), "leak") == "valid"

    def test_nothing_left_is_said_of_a_trial_that_still_runs(self) -> None:
        assert nothing_left(left().trial())
        assert not nothing_left(left(shm=["x"]).trial())
        assert not nothing_left(warm().trial())


class TestOrphan:
    def killed(self) -> History:
        return warm("owner-killed").hit(OWNER)

    def test_a_worker_that_outlives_the_owner_is_invalid(self) -> None:
        history = self.killed().death(ONE).judged(op="owner")
        found = the(history, "orphan")

        assert (found.verdict, found.effect) == ("invalid", "a worker outlives its owner")
        assert found.evidence[0].split("; ") == [
            "owner 100 was killed at 0.013 s",
            "worker 202, which ran job 2, was still alive after 1.3 s",
        ]

    def test_workers_that_end_after_their_owner_are_valid(self) -> None:
        assert verdict(self.killed().death(ONE).death(TWO), "orphan") == "valid"

    def test_a_death_after_the_judgement_is_too_late(self) -> None:
        assert (
            verdict(self.killed().judged(op="owner").death(ONE).death(TWO), "orphan") == "invalid"
        )

    def test_the_judges_list_of_the_living_counts(self) -> None:
        history = self.killed().judged(op="owner", alive=[300])

        assert "worker 300, which ran no job, was still alive" in the(history, "orphan").evidence[0]

    @pytest.mark.parametrize("end", ["moved", "phase"])
    def test_a_tree_that_was_seen_empty_has_no_orphan(self, end: str) -> None:
        history = self.killed().write(end, op="owner", data={"phase": "end"})

        assert verdict(history, "orphan") == "valid"

    def test_an_unconfirmed_survivor_is_unknown(self) -> None:
        history = self.killed().mark("suspect", op="owner", why="idling")

        assert verdict(history, "orphan") == "unknown"

    def test_a_judgement_before_the_kill_does_not_count(self) -> None:
        history = warm("owner-killed").write("judged", ROOT).hit(OWNER)

        assert verdict(history, "orphan") == "unknown"

    def test_the_children_at_the_start_are_workers_but_for_helpers(self) -> None:
        tracker = process(7, "python -c from multiprocessing.resource_tracker import main")
        history = warm("owner-killed").sample("started", processes=[process(300), tracker])
        found = the(history.hit(OWNER).death(ONE).death(TWO).judged(op="owner"), "orphan")

        assert len(found.evidence) == 1
        assert "worker 300" in found.evidence[0]

    def test_it_does_not_apply_if_jobs_ran_in_the_owner(self) -> None:
        history = History("owner-killed").start().done(1, pid=OWNER).hit(OWNER)

        assert verdict(history, "orphan") == "not applicable"

    def test_without_any_known_worker_it_is_unknown(self) -> None:
        assert verdict(History("owner-killed").start().submit(1).hit(OWNER), "orphan") == "unknown"

    def test_it_does_not_apply_if_the_owner_lives(self) -> None:
        assert verdict(warm(KILL).hit(ONE), "orphan") == "not applicable"


def test_a_sample_of_a_strange_shape_makes_the_leak_unknown_not_the_run() -> None:
    history = History().start().sample("before").done(1).stop()
    history.write("sample", data={"label": "after"})

    assert the(history, "leak").reason == "the checker itself failed: KeyError: 'fds'"
