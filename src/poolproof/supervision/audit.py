"""Audits what a supervisor did: do its events follow from its policy?

How often it restarted, whom, in which order, after which pause, and when it gave up is derived from
the events alone, by other code than that which decides it: what a decision gets wrong shows here.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import dropwhile
from typing import Final, Literal, NamedTuple

from poolproof.supervision.events import TreeEvent
from poolproof.supervision.spec import Policy

Path = tuple[str, ...]

_NS: Final = 1_000_000_000
_CLOSE_NS: Final = 10_000_000
"""An event is noted at most this long after what it tells was decided."""
_STOPS: Final = frozenset({"exited", "shutdown_error"})
_STARTS: Final = frozenset({"progress", "ignored", "start_error"})
_ASIDE: Final = frozenset({"unexpected_message", "unkillable", "shutdown_overrun"})


class Step(NamedTuple):
    """What must come next: a child stops or is started, the supervisor gives up or ends."""

    does: Literal["stop", "start", "escalation", "down"]
    child: str = ""

    def fits(self, event: TreeEvent) -> bool:
        """Tell whether an event is this step."""
        kinds = {"stop": _STOPS, "start": _STARTS}.get(self.does, frozenset({self.does}))
        return event.name in kinds and (self.does == "down" or _child(event) == self.child)


class Restart(NamedTuple):
    """A counted restart: when it was decided, at the earliest and at the latest (ns)."""

    earliest: int
    latest: int


class Pause(NamedTuple):
    """A pause before a restart: since when, and how long at least and at most (ns)."""

    since: Restart
    least: float
    most: float

    @property
    def latest(self) -> float:
        """When it is over, at the latest."""
        return self.since.latest + self.most


Plan = Sequence[Step]


def audit(
    events: Iterable[TreeEvent], policies: Mapping[Path, Policy], *, slack: float = 10.0
) -> list[str]:
    """Return what does not follow from the policies, at most one sentence for a supervisor's life.

    The events must be all that the tree's sink was told, from its boot on. A supervisor that is not
    in `policies` is not judged. Leave out dynamic ones, and those whose children somebody starts,
    stops or deletes by request: the events do not tell a request from a decision.

    Args:
        events: what happened, in order.
        policies: by path, the policies that the supervisors were to follow.
        slack: seconds by which the end of a restart may come after its pause: what a start takes.
    """
    lives: dict[Path, Life] = {}
    found: list[str] = []
    for event in events:
        if event.supervisor not in policies or event.name in _ASIDE:
            continue
        life = lives.setdefault(event.supervisor, Life(policies[event.supervisor], slack))
        if not life.judged and (problem := life.take(event)):
            life.judged = True
            found.append(f"{'/'.join(event.supervisor)} at {event.t_ns / _NS:.3f} s: {problem}")
        if event.name == "down":
            del lives[event.supervisor]
    return found


def _child(event: TreeEvent) -> str:
    return event.offender.id if event.offender else ""


def _said(event: TreeEvent) -> str:
    return f"{event.name} of {_child(event)}" if event.offender else event.name


class Life:
    """One life of one supervisor, from its boot to its end: what is known, and what must come.

    Attributes:
        judged: whether something was wrong already; what follows from it is not judged.
    """

    def __init__(self, policy: Policy, slack: float) -> None:
        self.judged = False
        self._policy, self._slack_ns = policy, slack * _NS
        self._booting = True
        self._order: list[str] = []
        self._ranks: list[str] = []
        self._kind: dict[str, str] = {}
        self._running: set[str] = set()
        self._counted: list[Restart] = []
        self._plans: list[Plan] = []
        self._failed: list[tuple[str, int]] = []
        self._paused: dict[str, Pause] = {}
        self._pausing: str | None = None
        self._stopped: list[str] = []
        self._then = 0

    def take(self, event: TreeEvent) -> str | None:
        """Take the next event; return what is wrong with it, if anything is."""
        problem = self._judge(event)
        self._then = event.t_ns
        return problem

    def _judge(self, event: TreeEvent) -> str | None:
        if event.name == "down" and event.reason and event.reason.kind in ("killed", "error"):
            return None  # it was ended, or broke down, in the middle of whatever it did
        if self._plans:
            return self._go_on(event)
        if self._booting:
            return self._boot(event)
        return self._begin(event)

    # What happens to the children.

    def _note(self, event: TreeEvent) -> None:
        name = _child(event)
        assert event.offender is not None
        self._kind[name] = event.offender.restart
        if event.name in _STARTS and name not in self._order:
            self._order.append(name)
            self._ranks.append(name)
        if event.name == "progress":
            self._running.add(name)
        else:
            self._running.discard(name)
            if event.offender.restart == "temporary" and name in self._order:
                self._order.remove(name)
        if event.name in ("progress", "ignored"):
            self._forget([name])

    def _boot(self, event: TreeEvent) -> str | None:
        if event.name == "up":
            self._booting = False
        elif event.offender is not None:
            self._note(event)
            if event.name == "start_error":
                self._plans = [self._ending()]
        return None

    # What must come after what has happened.

    def _stops(self, names: Iterable[str]) -> list[Step]:
        among = set(names)
        running = [name for name in self._order if name in self._running and name in among]
        return [Step("stop", name) for name in reversed(running)]

    def _ending(self) -> Plan:
        return [*self._stops(self._order), Step("down")]

    def _group(self, name: str) -> list[str]:
        if self._policy.strategy == "one_for_one":
            return [name]
        at = 0 if self._policy.strategy == "one_for_all" else self._order.index(name)
        return self._order[at:]

    def _restarting(self, name: str) -> Plan:
        group = self._group(name)
        starts = [Step("start", one) for one in group if self._kind[one] != "temporary"]
        return [*self._stops(group), *starts]

    def _escalating(self, name: str) -> Plan:
        return [Step("escalation", name), *self._ending()]

    def _restart_due(self, name: str, when: Restart) -> list[Plan]:
        """Count a restart; return what may come now: it is carried out, paused, or one too many."""
        surely, perhaps = self._within(when)
        self._counted.append(when)
        limit = self._policy.max_restarts
        plans = [self._escalating(name)] if perhaps + 1 > limit else []
        if surely + 1 > limit:
            return plans
        self._forget(self._group(name))
        if self._policy.backoff is None:
            return [self._restarting(name), *plans]
        pause = self._policy.backoff.pause
        least, most = (pause(number + 1) * _NS for number in (surely, perhaps))
        self._paused[name] = Pause(when, least, most)
        self._pausing = name
        stops = self._stops(self._group(name))
        return [stops, *plans]

    def _forget(self, names: Sequence[str]) -> None:
        """These are in another's hands now: whatever was to become of them by themselves is off."""
        self._failed = [one for one in self._failed if one[0] not in names]
        for name in names:
            self._paused.pop(name, None)

    def _within(self, now: Restart) -> tuple[int, int]:
        """Return how many counted restarts surely, and perhaps, lie in the window that ends now."""
        window, surely = self._policy.max_seconds * _NS, 0
        perhaps: list[Restart] = []
        for then in self._counted:
            longest, shortest = now.latest - then.earliest, now.earliest - then.latest
            if self._policy.clock == "whole_seconds":
                longest = (now.latest // _NS - then.earliest // _NS) * _NS
                shortest = (now.earliest // _NS - then.latest // _NS) * _NS
            surely += longest <= window
            perhaps += [then] if shortest <= window else []
        self._counted = perhaps  # what lies before the window lies before every later one
        return surely, len(perhaps)

    # What comes.

    def _go_on(self, event: TreeEvent) -> str | None:
        """Take an event in the middle of a plan: nothing else may come before its end."""
        fitting = [plan for plan in self._plans if plan and plan[0].fits(event)]
        if not fitting and not all(self._plans):  # all is done, or a pause has begun
            self._plans = []
            return self._begin(event)
        if not fitting:
            wanted = " or ".join(" of ".join(filter(None, plan[0])) for plan in self._plans)
            return f"expected {wanted}, got {_said(event)}"
        self._plans = [rest for plan in fitting if (rest := plan[1:])]
        if event.name in _STARTS or event.name in _STOPS:
            self._note(event)
        if event.name in _STOPS and (pause := self._paused.get(self._pausing or "")):
            # the pause begins when the last of the group has stopped
            since = Restart(event.t_ns - _CLOSE_NS, event.t_ns)
            self._paused[self._pausing or ""] = pause._replace(since=since)
        if event.name == "start_error" and not self._booting:
            self._plans = []
            self._failed.append((_child(event), event.t_ns))
        return None

    def _begin(self, event: TreeEvent) -> str | None:
        """Take an event that nothing before it calls for at once."""
        if event.name in _STARTS or event.name == "escalation":
            return self._resumed(event)
        if overdue := self._overdue(event):
            return overdue
        if event.name in _STOPS:
            self._note(event)
            self._stopped.append(_child(event))
            return None
        if event.name == "child_terminated":
            stopped, self._stopped = self._stopped, []
            self._terminated(event)
            return self._left(stopped, ())
        return self._ended() if event.name == "down" else None

    def _terminated(self, event: TreeEvent) -> None:
        assert event.offender is not None
        assert event.reason is not None
        self._note(event)
        kind = event.offender.restart
        if kind == "permanent" or (kind == "transient" and event.reason.abnormal):
            when = Restart(event.t_ns - _CLOSE_NS, event.t_ns)
            self._plans = self._restart_due(_child(event), when)

    def _resumed(self, event: TreeEvent) -> str | None:
        """Take the first sign of a restart that was tried again, or whose pause is over."""
        stopped, self._stopped = self._stopped, []
        for name, since in tuple(self._failed):
            before = self._counted.copy(), self._failed, self._paused.copy(), self._pausing
            plans = self._restart_due(name, Restart(since, event.t_ns))
            paused = name in self._paused and self._restarting(name)[0].fits(event)
            if paused or any(plan and plan[0].fits(event) for plan in plans):
                return self._carry_out(name, [] if paused else plans, event, stopped)
            self._counted, self._failed, self._paused, self._pausing = before
        for name in tuple(self._paused):
            if self._restarting(name)[0].fits(event):
                return self._carry_out(name, [], event, stopped)
        return f"got {_said(event)}, and nothing called for it"

    def _carry_out(
        self, name: str, plans: list[Plan], event: TreeEvent, stopped: Sequence[str]
    ) -> str | None:
        pause = self._paused.get(name)
        problem = self._left(stopped, self._group(name)) or self._backwards(stopped)
        if not plans and pause is not None:
            problem = problem or self._punctual(event, pause)
        self._plans = plans
        if not plans:
            self._forget(self._group(name))
            self._plans, self._pausing = [self._restarting(name)], None
        return problem or self._go_on(event)

    def _punctual(self, event: TreeEvent, pause: Pause) -> str | None:
        early = pause.since.earliest + pause.least - event.t_ns
        if early > 0:
            return f"{_said(event)} came {early / _NS:.3f} s before its pause was over"
        late = event.t_ns - max(pause.latest, self._then) - self._slack_ns
        return f"{_said(event)} came {late / _NS:.3f} s too late" if late > 0 else None

    def _overdue(self, event: TreeEvent) -> str | None:
        """Return which restart had long been due when the idle supervisor did something else.

        The end of a child that it has told to stop may come as late as its patience allows.
        """
        allowed = self._slack_ns
        if event.name in _STOPS and event.offender and event.offender.shutdown != "brutal_kill":
            allowed += float(event.offender.shutdown) * _NS  # "infinity" is a float, too
        pause = self._policy.backoff.maximum * _NS if self._policy.backoff else 0.0
        due = [(name, since + pause) for name, since in self._failed]
        due += [(name, pause.latest) for name, pause in self._paused.items()]
        late = [name for name, since in due if event.t_ns - max(since, self._then) > allowed]
        return f"{late[0]} was due to be started again, and was not" if late else None

    def _left(self, stopped: Sequence[str], group: Sequence[str]) -> str | None:
        """Return which permanent child stopped although nothing that followed called for it."""
        lasting = [name for name in stopped if self._kind[name] == "permanent"]
        left = [name for name in lasting if name not in group]
        return f"{left[0]}, a permanent child, ended and was not restarted" if left else None

    def _ended(self) -> str | None:
        left = [name for name in self._order if name in self._running]
        if left:
            return f"it ended with {', '.join(left)} still running"
        return self._backwards(self._stopped)

    def _backwards(self, stopped: Sequence[str]) -> str | None:
        """Return what is wrong with the order in which children were stopped: the last goes first.

        Those at the beginning that are not permanent may have ended by themselves.
        """
        told = [*dropwhile(lambda name: self._kind[name] != "permanent", stopped)]
        ranks = [self._ranks.index(name) for name in told]
        wrong = ranks != sorted(ranks, reverse=True)
        return f"it stopped {', '.join(told)}, not the last first" if wrong else None
