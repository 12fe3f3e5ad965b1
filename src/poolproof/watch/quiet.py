"""Whether a tree still moves, decided from samples of it and marks of its history alone.

*Quiet* and *idling* are suspicions. Wrong in the dangerous direction they would call a live pool
stuck, so whatever is not known counts as moving, or must be outwaited: a wait of unknown length has
to be watched for the whole horizon. What samples cannot show is named in `pending.py`; `Watch` asks
there before it says quiet. A tree that waits for something outside of it, for one the opening of a
gate, is quiet, and only the caller can know that it is not stuck.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from poolproof.watch import calls
from poolproof.watch.pending import NOTHING_PENDING, Pending
from poolproof.watch.sample import Task, TreeSample


@dataclass(frozen=True, slots=True)
class Moving:
    """Nothing can be said against the tree; `why` is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing moves.

    Attributes:
        since_ns: the moment from which on nothing was seen to move, in CLOCK_MONOTONIC like all
            times here.
        due_ns: the latest moment by which the first of the timed waits ends, beyond the horizon;
            None if there is none.
        stopped: the processes held by SIGSTOP, whose waits count as unlimited.
        exact: False if some wait's limit could not be read.
    """

    since_ns: int
    due_ns: int | None
    stopped: frozenset[int] = frozenset()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Idling:
    """Tasks wake up and only do again what they did before.

    Attributes:
        since_ns: the moment from which on nothing new was seen.
        periods: how often each of the waking tasks was seen to wake and sleep again, at least.
        period_ns: the mean period of the one that was seen the least; an upper bound where samples
            were sparse.
        due_ns: as in `Quiet`, of the tasks that did not wake.
    """

    since_ns: int
    periods: int
    period_ns: int
    due_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """No process is alive below the root, since when; whether one is to come, the caller knows."""

    since_ns: int


Verdict = Moving | Quiet | Idling | Empty


class Motion(Enum):
    """What became of a tree: nothing; tasks ran; a process or thread was born or died."""

    NONE = "none"
    RAN = "ran"
    CHANGED = "changed"


Member = tuple[int, int, int, bool]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What to keep of a parked tree: its members, and how far each had run."""

    members: frozenset[Member]
    progress: frozenset[tuple[int, bytes, tuple[int, int, int]]]

    @property
    def wanted_ns(self) -> int:
        """How long its tasks have run, or waited for a processor to run on."""
        return sum(schedstat[0] + schedstat[1] for _, _, schedstat in self.progress)

    @property
    def cpu_ns(self) -> int:
        """How long its tasks have run, all together, since they were born."""
        return sum(schedstat[0] for _, _, schedstat in self.progress)

    def motion_since(self, earlier: "Fingerprint") -> Motion:
        """Tell what happened between the earlier fingerprint and this one."""
        if self.members != earlier.members:
            return Motion.CHANGED
        return Motion.NONE if self.progress == earlier.progress else Motion.RAN


def fingerprint(sample: TreeSample) -> Fingerprint:
    """Return what tells later, by `motion_since`, whether the tree moved after this sample."""
    return Fingerprint(
        members=frozenset(map(_member, sample.tasks)),
        progress=frozenset((task.tid, task.call, task.schedstat) for task in sample.tasks),
    )


def _member(task: Task) -> Member:
    return task.pid, task.born, task.tid, task.state in "ZX"


def _rests(task: Task) -> bool:
    """Whether only somebody else, or a timer, can make the task run."""
    if task.state in "TZX":
        return True
    if (
        task.state == "D"
    ):  # on a disk, or in a page fault: it goes on by itself; but not so a vfork's parent
        return calls.waits_for_child(task.call)
    return task.state == "S" and (calls.is_blocked(task.call) or not task.exact)


class _Track:
    """One task as it was followed through the samples."""

    __slots__ = ("base", "cycles", "entered_after_ns", "first_seen_ns", "rested", "sites", "task")

    def __init__(self, task: Task, sample: TreeSample) -> None:
        self.task = task
        self.entered_after_ns = task.started_ns
        self.first_seen_ns = sample.ended_ns
        self.sites: set[tuple[int, ...]] = set()
        self.rested: tuple[int, int, int] | None = None
        self.base = task.schedstat
        self.cycles = 0
        self._note_rest()

    def follow(self, task: Task, sample: TreeSample, before: TreeSample) -> bool:
        """Take the next look at the task; tell whether it sleeps in a place that is new for it."""
        if task == self.task:
            return False
        self.task = task
        self.entered_after_ns = before.time_ns
        self.first_seen_ns = sample.ended_ns
        return self._note_rest()

    def _note_rest(self) -> bool:
        task = self.task
        if not _rests(task):
            return False
        self.cycles += self.rested is not None and self.rested != task.schedstat
        self.rested = task.schedstat
        place = calls.site(task.call) if calls.is_blocked(task.call) else (-1,)
        known = place in self.sites
        self.sites.add(place)
        return not known

    def start_over(self, *, forget: bool) -> None:
        self.base = self.task.schedstat
        self.cycles = 0
        if forget:
            self.sites.clear()
            self._note_rest()
            self.cycles = 0

    @property
    def woke(self) -> bool:
        return self.task.schedstat != self.base

    @property
    def timed(self) -> bool:
        return self.task.state == "S" and self.task.wait.bound is not calls.Bound.UNLIMITED

    @property
    def readable(self) -> bool:
        return not self.timed or self.task.wait.bound is not calls.Bound.UNREADABLE

    def earliest_end_ns(self) -> int | None:
        return calls.ends_at_ns(self.task, self.entered_after_ns) if self.timed else None

    def latest_end_ns(self) -> int | None:
        return calls.ends_at_ns(self.task, self.first_seen_ns) if self.timed else None


class Quietness:
    """Takes samples of one tree, and says whether it moves.

    Args:
        window_ns: for how long nothing must have moved.
        horizon_ns: how soon a timed wait must end to count as moving.
        idle_periods: how often every waking task must repeat itself.
        idle_min_ns: for how long nothing new must have been done.
        idle_cpu_share: the share of one core that an idling tree stays below; a busy loop moves.

    Example:
        >>> quietness = Quietness()
        >>> quietness.observe(TreeSample(time_ns=0, ended_ns=1, tasks=()), history_mark=0)
        >>> quietness.verdict(now_ns=1)
        Empty(since_ns=1)
    """

    def __init__(
        self,
        *,
        window_ns: int = 30_000_000,
        horizon_ns: int = 1_000_000_000,
        idle_periods: int = 3,
        idle_min_ns: int = 1_000_000_000,
        idle_cpu_share: float = 0.2,
    ) -> None:
        self._window_ns = window_ns
        self._horizon_ns = horizon_ns
        self._idle_periods = idle_periods
        self._idle_min_ns = idle_min_ns
        self._idle_cpu_share = idle_cpu_share
        self._last: TreeSample | None = None
        self._mark: int | None = None
        self._tracks: dict[tuple[int, int, int], _Track] = {}
        self._still_since_ns = 0
        self._habit_since_ns = 0

    def observe(self, sample: TreeSample, history_mark: int) -> None:
        """Take in the next sample, and a number that changes with every event of the history."""
        before, self._last = self._last, sample
        same_tree = before is not None and _same_members(before, sample)
        news = not same_tree or history_mark != self._mark
        self._mark = history_mark
        if news or before is None or before.tasks != sample.tasks:
            self._still_since_ns = sample.ended_ns
        new_place = before is not None and self._follow(sample, before)
        if before is None:
            self._tracks = {_key(task): _Track(task, sample) for task in sample.tasks}
        if news or new_place:
            self._start_habits_over(sample, forget=news)

    def _follow(self, sample: TreeSample, before: TreeSample) -> bool:
        """Follow every task on, and tell whether one sleeps where it never did before."""
        new_place = False
        tracks: dict[tuple[int, int, int], _Track] = {}
        for task in sample.tasks:
            track = self._tracks.get(_key(task))
            if track is None:
                track = _Track(task, sample)
            else:
                new_place |= track.follow(task, sample, before)
            tracks[_key(task)] = track
        self._tracks = tracks
        return new_place

    def _start_habits_over(self, sample: TreeSample, *, forget: bool) -> None:
        self._habit_since_ns = sample.ended_ns
        for track in self._tracks.values():
            track.start_over(forget=forget)

    def verdict(self, now_ns: int, pending: Pending = NOTHING_PENDING) -> Verdict:
        """Judge by what was observed so far.

        Args:
            now_ns: the horizon is counted from here, CLOCK_MONOTONIC.
            pending: what else may wake the tree; only a suspicion of quiet needs it.
        """
        if self._last is None:
            return Moving("it was not looked at yet")
        if not any(task.state not in "ZX" for task in self._last.tasks):
            return Empty(self._still_since_ns)
        found = self._quiet(self._last, now_ns, pending)
        return (
            self._idling(self._last, now_ns, why=found.why) if isinstance(found, Moving) else found
        )

    def _quiet(self, last: TreeSample, now_ns: int, pending: Pending) -> Quiet | Moving:
        tracks = self._tracks.values()
        if awake := next((track.task for track in tracks if not _rests(track.task)), None):
            return Moving(f"task {awake.tid} of process {awake.pid} is awake ({awake.state})")
        still_ns = last.time_ns - self._still_since_ns
        exact = all(track.readable for track in tracks) and not pending.unseen
        if still_ns < (self._window_ns if exact else max(self._window_ns, self._horizon_ns)):
            return Moving(f"still for {max(still_ns, 0) / 1e6:.0f} ms only")
        first_ns = _earliest([*(track.earliest_end_ns() for track in tracks), pending.due_ns])
        if first_ns is not None and first_ns <= now_ns + self._horizon_ns:
            return Moving(f"a timed wait may end in {max(first_ns - now_ns, 0) / 1e6:.0f} ms")
        due_ns = _earliest([*(track.latest_end_ns() for track in tracks), pending.due_ns])
        stopped = frozenset(track.task.pid for track in tracks if track.task.state == "T")
        return Quiet(self._still_since_ns, due_ns, stopped, exact)

    def _idling(self, last: TreeSample, now_ns: int, *, why: str) -> Idling | Moving:
        span_ns = last.time_ns - self._habit_since_ns
        waking = [track for track in self._tracks.values() if track.woke]
        asleep = [track for track in self._tracks.values() if not track.woke]
        if span_ns < self._idle_min_ns or not waking:
            return Moving(why)
        periods = min(track.cycles for track in waking)
        if periods < self._idle_periods or self._asleep_may_wake(asleep, span_ns, now_ns):
            return Moving(why)
        if (
            sum(track.task.schedstat[0] - track.base[0] for track in waking)
            >= self._idle_cpu_share * span_ns
        ):
            return Moving("it is busy")
        due_ns = _earliest(track.latest_end_ns() for track in asleep)
        return Idling(self._habit_since_ns, periods, span_ns // periods, due_ns)

    def _asleep_may_wake(self, asleep: list[_Track], span_ns: int, now_ns: int) -> bool:
        first_ns = _earliest(track.earliest_end_ns() for track in asleep)
        return (
            not all(_rests(track.task) for track in asleep)
            or (first_ns is not None and first_ns <= now_ns + self._horizon_ns)
            or (span_ns < self._horizon_ns and not all(track.readable for track in asleep))
        )


def _key(task: Task) -> tuple[int, int, int]:
    return task.pid, task.born, task.tid


def _same_members(one: TreeSample, other: TreeSample) -> bool:
    return one.tasks == other.tasks or set(map(_member, one.tasks)) == set(
        map(_member, other.tasks)
    )


def _earliest(moments: Iterable[int | None]) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
