"""What holds for any history: no sound pool is accused, no verdict hangs on an accident."""

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from poolproof.checkers import Trial, combine, judge
from poolproof.history import Event
from tests.unit.checkers.histories import CONTROLLER, OWNER, ROOT, plan

pytestmark = pytest.mark.unit

# a wall-clock bound on an example would make a loaded machine fail the test
unhurried = settings(deadline=None)

KILL = "kill-busy"
FIRST_WORKER = 200


class SoundPool:
    """A pool that keeps its promises, simulated: what it does is drawn, and its history is kept."""

    def __init__(
        self, draw: random.Random, promises: dict[str, Any], workers: int, faults: int
    ) -> None:
        self.draw, self.promises = draw, promises
        self.plan = plan(*[KILL] * faults, promises=promises, workers=workers)
        self.events: list[Event] = []
        self.now = 0
        self.queue: deque[int] = deque()
        self.starts: dict[int, int] = {}
        self.pids = FIRST_WORKER
        self.running: dict[int, tuple[int, bool] | None] = {}  # pid: (job, has finished), or idle
        for _ in range(workers):
            self.hire()

    def write(self, kind: str, pid: int = OWNER, **fields: Any) -> None:
        self.now += self.draw.choice((0, 1, 1_000_000, 900_000_000))
        self.events.append(Event(t=self.now, kind=kind, pid=pid, **fields))

    def hire(self) -> None:
        self.pids += 1
        self.running[self.pids] = None

    def submit(self, job: int, role: str) -> None:
        self.write("invoke", op="submit", job=job, role=role, data={"body": "echo"})
        if self.draw.random() < 0.1:
            self.write("info", op="submit", job=job, error="Busy")
        else:
            self.write("ok", op="submit", job=job)
            self.queue.append(job)

    def step(self, *, left: int) -> int:
        """Do one thing that a pool may do; return how many kills are left."""
        if self.draw.random() < 0.1:
            self.wonder()
        pid = self.draw.choice(sorted(self.running))
        now = self.running[pid]
        if left and self.draw.random() < 0.2:
            self.kill(pid, left - 1)
            return left - 1
        if now is None:
            self.begin(pid)
        elif now[1]:
            self.write("ok", op="job", job=now[0], data={"match": True, "value": f"'{now[0]}'"})
            self.running[pid] = None
        else:
            self.write("finished", pid, job=now[0])
            self.running[pid] = (now[0], True)
        return left

    def begin(self, pid: int) -> None:
        if self.queue:
            job = self.queue.popleft()
            self.starts[job] = self.starts.get(job, 0) + 1
            self.write("started", pid, job=job, data={"born": pid})
            self.running[pid] = (job, False)

    def wonder(self) -> None:
        """Be suspected of standing still, wrongly."""
        pending = [*self.queue, *(now[0] for now in self.running.values() if now)]
        self.write("suspect", CONTROLLER, op="job", data={"pending": pending, "waited_ms": 5.0})
        if self.draw.random() < 0.5:
            self.write("moved", CONTROLLER, op="job", data={"pending": pending})

    def kill(self, pid: int, fault: int) -> None:
        """Lose a worker; its job is run again if that is allowed, else its caller is told."""
        data = {"fault": fault, "victims": [{"pid": pid, "born": pid}]}
        self.write("inject", CONTROLLER, data=data)
        self.write("receipt", CONTROLLER, data={"fault": fault, "evidence": "gone"})
        held = self.running.pop(pid)
        self.hire()
        if held and self.starts[held[0]] <= self.allowed() and self.draw.random() < 0.8:
            self.queue.appendleft(held[0])
        elif held:
            self.write("fail", op="job", job=held[0], error="WorkerDied")
        if self.draw.random() < 0.5:
            self.write("death", ROOT, data={"child": pid, "born": pid, "status": 9})

    def allowed(self) -> int:
        return 0 if self.promises.get("at-most-once") else int(self.promises.get("retries", 3))

    def drain(self, left: int) -> int:
        while self.queue or any(self.running.values()):
            left = self.step(left=left)
        return left

    def live(self) -> None:
        for op in ("invoke", "ok"):
            self.write(op, op="start")
        self.sample("before")
        for job in range(1, 6):
            self.submit(job, "bystander")
        left = self.drain(len(self.plan.faults))
        for fault in reversed(range(left)):
            self.kill(min(self.running), fault)
        self.drain(0)
        for job in range(6, 9):
            self.submit(job, "fresh")
        self.drain(0)
        for op in ("invoke", "ok"):
            self.write(op, op="stop")
        self.sample("after")

    def sample(self, label: str) -> None:
        held: dict[str, Any] = {"fds": {}, "threads": [], "processes": [], "shm": [], "files": []}
        self.write("sample", data={"label": label, **held})


PROMISES: list[dict[str, Any]] = [
    {},
    {"at-most-once": True},
    {"retries": 1},
    {"order": "fifo"},
    {"order": "fifo", "retries": 2},
    {"exclusive": True, "fenced": True, "queue": 5, "shedding": 1.0},
]


@st.composite
def sound_pools(draw: st.DrawFn) -> SoundPool:
    promises = draw(st.sampled_from(PROMISES))
    workers, faults = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    pool = SoundPool(draw(st.randoms(use_true_random=True)), promises, workers, faults)
    pool.live()
    return pool


@st.composite
def strange_trials(draw: st.DrawFn) -> Trial:
    """A sound history from which events were dropped, and whose clocks are coarse."""
    pool = draw(sound_pools())
    tick = draw(st.sampled_from((1, 10_000_000, 2_000_000_000)))
    keep = draw(st.randoms(use_true_random=True))
    events = [event for event in pool.events if keep.random() < 0.9]
    end = Event(t=pool.now, kind="judged", pid=CONTROLLER, op="job", data={"waited_ms": 1300})
    coarse = [Event(**{**_fields(event), "t": event.t // tick}) for event in (*events, end)]
    return Trial(pool.plan, tuple(coarse))


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def verdicts(trial: Trial) -> dict[str, str]:
    found = judge(trial)
    return {
        name: combine(finding.verdict for finding in found if finding.invariant == name)
        for name in {finding.invariant for finding in found}
    }


@unhurried
@given(sound_pools())
def test_a_sound_pool_is_never_accused(pool: SoundPool) -> None:
    found = judge(Trial(pool.plan, tuple(pool.events)))

    assert [finding for finding in found if finding.verdict == "invalid"] == []


@unhurried
@given(sound_pools())
def test_a_sound_pool_is_not_doubted_where_jobs_are_concerned(pool: SoundPool) -> None:
    found = verdicts(Trial(pool.plan, tuple(pool.events)))

    assert {found[name] for name in ("unresolved-job", "duplicate-run", "phantom-result")} == {
        "valid"
    }


@unhurried
@given(sound_pools(), st.data())
def test_an_answer_that_is_withheld_is_always_noticed(pool: SoundPool, data: st.DataObject) -> None:
    answered = [
        event for event in pool.events if event.op == "job" and event.kind in ("ok", "fail")
    ]
    assume(answered)
    withheld = data.draw(st.sampled_from(answered)).job
    events = [event for event in pool.events if not (event.op == "job" and event.job == withheld)]
    events.append(
        Event(t=pool.now, kind="judged", pid=CONTROLLER, op="job", data={"pending": [withheld]})
    )
    found = verdicts(Trial(pool.plan, tuple(events)))

    assert "invalid" in (found["unresolved-job"], found["no-recovery"])


@unhurried
@given(strange_trials(), st.randoms(use_true_random=True))
def test_the_order_of_simultaneous_events_changes_nothing(
    trial: Trial, shuffle: random.Random
) -> None:
    events = list(trial.events)
    shuffle.shuffle(events)

    assert judge(Trial(trial.plan, tuple(events))) == judge(trial)


@unhurried
@given(strange_trials(), st.integers(0, 3), st.integers(0, 10**9))
def test_a_further_receipt_never_acquits(trial: Trial, fault: int, when: int) -> None:
    receipt = Event(t=when, kind="receipt", pid=CONTROLLER, data={"fault": fault})
    before = verdicts(trial)
    after = verdicts(Trial(trial.plan, (*trial.events, receipt)))

    assert [name for name in before if (before[name], after[name]) == ("invalid", "valid")] == []


@unhurried
@given(strange_trials())
def test_without_any_receipt_no_fault_proves_anything(trial: Trial) -> None:
    bare = Trial(trial.plan, tuple(event for event in trial.events if event.kind != "receipt"))

    assert not trial.faulted or set(verdicts(bare).values()) <= {"unknown", "not applicable"}
